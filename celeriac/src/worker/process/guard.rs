//! How a child ends: by itself, or by its worker's will.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Child as Process;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::group;
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
    work: Arc<Work>,
    /// Takes the signal that it is to be ended by.
    order: Option<oneshot::Sender<Signal>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// The guard of a child: it waits for its end, so that no pid is signalled
/// that is not its own any more.
pub(super) struct Guard {
    pid: u32,
    process: Process,
    work: Arc<Work>,
    orders: oneshot::Receiver<Signal>,
    exit: watch::Sender<Option<ExitStatus>>,
}

/// What a child has been given to do.
#[derive(Default)]
struct Work {
    runs: AtomicU64,
    /// Whether one of them goes on.
    busy: AtomicBool,
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
    let work = Arc::new(Work::default());
    let (order, orders) = oneshot::channel();
    let (ended, exit) = watch::channel(None);
    let child = Child {
        pid,
        line,
        generation,
        work: Arc::clone(&work),
        order: Some(order),
        exit,
    };
    let guard = Guard {
        pid,
        process,
        work,
        orders,
        exit: ended,
    };
    Some((child, guard))
}

impl Child {
    /// How many runs it has been given.
    pub fn runs(&self) -> u64 {
        self.work.runs.load(Ordering::Relaxed)
    }

    /// It is given one more.
    pub fn begin_run(&self) {
        self.work.runs.fetch_add(1, Ordering::Relaxed);
        self.work.busy.store(true, Ordering::Relaxed);
    }

    /// The run has ended by itself: what it has left behind may go on.
    pub fn end_run(&self) {
        self.work.busy.store(false, Ordering::Relaxed);
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
        let (status, wanted) = tokio::select! {
            status = self.process.wait() => (status.ok(), false),
            order = &mut self.orders => (self.end(order.ok()).await, true),
        };
        self.exit.send_replace(status);
        Death {
            pid: self.pid,
            status,
            wanted,
            runs: self.work.runs.load(Ordering::Relaxed),
        }
    }

    async fn end(&mut self, signal: Option<Signal>) -> Option<ExitStatus> {
        if let Some(signal) = signal {
            group::signal(self.pid, signal);
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

impl Drop for Guard {
    /// Nothing is left of a run that the child's end has cut off.
    fn drop(&mut self) {
        if self.work.busy.load(Ordering::Relaxed) {
            group::signal(self.pid, Signal::SIGKILL);
        }
    }
}
