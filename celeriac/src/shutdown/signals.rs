//! What signals tell a process (`celery/apps/worker.py`).

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shutdown;

/// The signals that a shutdown heeds.
pub(super) struct Signals {
    term: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Option<Signal>,
    /// Whether TERM is a QUIT (`REMAP_SIGTERM`).
    remapped: bool,
}

/// What a signal means.
enum Told {
    Warm,
    Interrupt,
    Cold,
    Restart,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: None,
            remapped: std::env::var_os("REMAP_SIGTERM").is_some_and(|name| name == "SIGQUIT"),
        })
    }

    /// HUP as well, but in a terminal: its end is the worker's, too.
    pub fn or_hangup(mut self) -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            self.hangup = Some(signal(SignalKind::hangup())?);
        }
        Ok(self)
    }

    /// Waits for the next one.
    async fn next(&mut self) -> Told {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => if self.remapped { Told::Cold } else { Told::Warm },
            _ = self.interrupt.recv() => Told::Interrupt,
            _ = self.quit.recv() => Told::Cold,
            _ = hangup => Told::Restart,
        }
    }

    /// Tells `shutdown` what the process is told. A signal that would begin a
    /// cold shutdown cuts a soft one short.
    pub async fn heed(mut self, shutdown: Shutdown, soft: Duration) {
        self.until_cold(&shutdown).await;
        tokio::select! {
            () = shutdown.soften(soft) => {}
            () = self.again() => {}
        }
        shutdown.cool();
    }

    /// Heeds them until what runs is to be cut off.
    async fn until_cold(&mut self, shutdown: &Shutdown) {
        loop {
            match self.next().await {
                Told::Warm => shutdown.begin(),
                Told::Restart => shutdown.restart(),
                Told::Interrupt if !shutdown.is_interrupted() => shutdown.interrupt(),
                Told::Interrupt | Told::Cold => return,
            }
        }
    }

    /// Waits for one more INT or QUIT.
    async fn again(&mut self) {
        while !matches!(self.next().await, Told::Interrupt | Told::Cold) {}
    }
}
