//! How a worker is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Tells every part of a worker to end. *Warm*: nothing new is begun, what
/// runs may finish. *Cold*: what runs is dropped.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Phases>);

#[derive(Default)]
struct Phases {
    warm: CancellationToken,
    cold: CancellationToken,
    interrupted: AtomicBool,
}

impl Shutdown {
    /// A shutdown that nobody but its owner begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that begins as Celery's does: warm on the first TERM or INT,
    /// cold on the next and on QUIT, after a `soft` while.
    pub fn on_signals(soft: Duration) -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::Connection(Box::new(error)));
        let mut term = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut quit = listen(SignalKind::quit())?;
        let shutdown = Self::new();
        let told = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => told.begin(),
                _ = interrupt.recv() => {
                    told.0.interrupted.store(true, Ordering::Relaxed);
                    told.begin();
                }
                _ = quit.recv() => return told.cool_after(soft).await,
            }
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
            told.cool_after(soft).await;
        });
        Ok(shutdown)
    }

    /// A cold shutdown with a last chance for what runs.
    async fn cool_after(&self, soft: Duration) {
        if !soft.is_zero() {
            tracing::warn!("Soft shutdown: waiting {soft:?} for running tasks");
            self.0.warm.cancel();
            tokio::time::sleep(soft).await;
        }
        self.cool();
    }

    /// Begins a warm shutdown.
    pub fn begin(&self) {
        tracing::warn!("worker: Warm shutdown (MainProcess)");
        self.0.warm.cancel();
    }

    /// Begins a cold shutdown.
    pub fn cool(&self) {
        tracing::warn!("worker: Cold shutdown (MainProcess)");
        self.0.warm.cancel();
        self.0.cold.cancel();
    }

    /// Waits until nothing new is to be begun.
    pub async fn warm(&self) {
        self.0.warm.cancelled().await;
    }

    /// Waits until what runs is to be dropped.
    pub async fn cold(&self) {
        self.0.cold.cancelled().await;
    }

    /// Whether nothing new is to be begun.
    pub fn is_warm(&self) -> bool {
        self.0.warm.is_cancelled()
    }

    /// Whether INT has begun it, Ctrl-C in a terminal: Celery ends with 1 then.
    pub fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// Whether what runs is to be dropped.
    pub fn is_cold(&self) -> bool {
        self.0.cold.is_cancelled()
    }
}
