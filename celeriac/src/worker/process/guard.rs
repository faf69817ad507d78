//! How a child ends: by itself, or by its worker's will.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child as Process;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::wire::Line;

/// What a child has to end by itself when nothing is left for it to do.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
/// What it has after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// A living child, as its worker holds it. Dropped, it is let go: it finds
/// its line closed.
pub(super) struct Child {
    pub pid: u32,
    pub line: Line,
    /// The restart of the pool that it was born after.
    pub generation: u64,
    runs: Arc<AtomicU64>,
    /// Takes the signal that it is to be ended by.
    order: Option<oneshot::Sender<Signal>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// The guard of a child: it waits for its end, so that no pid is signalled
/// that is not its own any more.
pub(super) struct Guard {
    process: Process,
    runs: Arc<AtomicU64>,
    orders: oneshot::Receiver<Signal>,
    exit: watch::Sender<Option<ExitStatus>>,
}

/// How a child has ended.
pub(super) struct Death {
    pub pid: u32,
    pub status: Option<ExitStatus>,
    /// Whether its worker wanted it.
    pub wanted: bool,
    /// How many runs it had been given.
    pub runs: u64,
}

/// A child that has said that it is ready, and its guard. `None` if it has
/// ended since.
pub(super) fn guarded(process: Process, line: Line, generation: u64) -> Option<(Child, Guard)> {
    let pid = process.id()?;
    let runs = Arc::new(AtomicU64::new(0));
    let (order, orders) = oneshot::channel();
    let (ended, exit) = watch::channel(None);
    let child = Child {
        pid,
        line,
        generation,
        runs: Arc::clone(&runs),
        order: Some(order),
        exit,
    };
    let guard = Guard {
        process,
        runs,
        orders,
        exit: ended,
    };
    Some((child, guard))
}

impl Child {
    /// How many runs it has been given.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// It is given one more.
    pub fn count_run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    pub fn is_alive(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Tells how it ended, once it has.
    pub fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exit.clone()
    }

    /// Has it ended by this signal, or by KILL if that does not do it.
    pub fn end(mut self, signal: Signal) {
        self.order(signal);
    }

    fn order(&mut self, signal: Signal) {
        if let Some(order) = self.order.take() {
            // It may have ended before.
            let _ = order.send(signal);
        }
    }

    /// Waits until it has ended; how.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        let exited = self.exit.wait_for(Option::is_some).await;
        exited.ok().and_then(|status| *status)
    }

    /// How a child ended that has closed its line. It is ended if it has not.
    pub async fn death(mut self) -> Option<ExitStatus> {
        if let Ok(status) = timeout(GRACE, self.exited()).await {
            return status;
        }
        self.order(Signal::SIGKILL);
        self.exited().await
    }
}

impl Guard {
    /// Waits for the end, and brings it about when told to.
    pub async fn watch(mut self) -> Death {
        let pid = self.process.id().unwrap_or_default();
        let (status, wanted) = tokio::select! {
            status = self.process.wait() => (status.ok(), false),
            order = &mut self.orders => (self.end(order.ok()).await, true),
        };
        self.exit.send_replace(status);
        Death {
            pid,
            status,
            wanted,
            runs: self.runs.load(Ordering::Relaxed),
        }
    }

    async fn end(&mut self, signal: Option<Signal>) -> Option<ExitStatus> {
        if let (Some(pid), Some(signal)) = (self.process.id(), signal) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
        let patience = signal.map_or(FAREWELL, |_| GRACE);
        match timeout(patience, self.process.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.process.start_kill();
                self.process.wait().await.ok()
            }
        }
    }
}
