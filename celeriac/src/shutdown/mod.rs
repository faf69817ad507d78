//! How a worker or a beat is told to end.
//!
//! - [`Shutdown`]: tells every part of it
//! - `signals`: what begins one

mod signals;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, hide_password};
use signals::Signals;

/// Tells every part of a worker to end. *Warm*: nothing new is begun, what
/// runs may finish. *Cold*: what runs is dropped.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Phases>);

#[derive(Default)]
struct Phases {
    warm: CancellationToken,
    cold: CancellationToken,
    interrupted: AtomicBool,
    restarting: AtomicBool,
}

impl Shutdown {
    /// A shutdown that nobody but its owner begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that begins as Celery's does: warm on TERM and the first INT;
    /// cold on QUIT and on the next INT, after a `soft` while. Further TERMs do
    /// nothing. With `REMAP_SIGTERM` set to `SIGQUIT` in the environment, TERM
    /// is a QUIT.
    ///
    /// # Errors
    /// [`Error::Connection`] when the system lets no signals be heard.
    pub fn on_signals(soft: Duration) -> Result<Self, Error> {
        Self::heeding(Signals::listen(), soft)
    }

    /// The same for a program that starts again after HUP, which begins a warm
    /// one where no terminal is: see [`is_restart`](Self::is_restart).
    ///
    /// # Errors
    /// Those of [`on_signals`](Self::on_signals).
    pub fn on_signals_or_hangup(soft: Duration) -> Result<Self, Error> {
        Self::heeding(Signals::listen().and_then(Signals::or_hangup), soft)
    }

    fn heeding(signals: io::Result<Signals>, soft: Duration) -> Result<Self, Error> {
        let signals = signals.map_err(Error::io("cannot listen to signals"))?;
        let shutdown = Self::new();
        tokio::spawn(signals.heed(shutdown.clone(), soft));
        Ok(shutdown)
    }

    /// Gives what runs a last while before a cold shutdown.
    pub(super) async fn soften(&self, soft: Duration) {
        if !soft.is_zero() {
            tracing::warn!("Soft shutdown: waiting {soft:?} for running tasks");
            self.0.warm.cancel();
            tokio::time::sleep(soft).await;
        }
    }

    /// Begins a warm shutdown, by INT.
    pub(super) fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Relaxed);
        self.begin();
    }

    /// Begins a warm shutdown, and has the program start again afterwards.
    pub(super) fn restart(&self) {
        let words: Vec<String> = std::env::args().map(|word| hide_password(&word)).collect();
        tracing::warn!("Restarting celery worker ({})", words.join(" "));
        self.0.restarting.store(true, Ordering::Relaxed);
        self.0.warm.cancel();
    }

    /// Begins a warm shutdown.
    pub fn begin(&self) {
        tracing::warn!("worker: Warm shutdown (MainProcess)");
        // An order to end is newer than one to start again.
        self.0.restarting.store(false, Ordering::Relaxed);
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

    /// Whether HUP has begun it: the program is to start again, with the same
    /// arguments. Who is told to end meanwhile ends.
    pub fn is_restart(&self) -> bool {
        self.0.restarting.load(Ordering::Relaxed) && !self.is_cold() && !self.is_interrupted()
    }

    /// Whether what runs is to be dropped.
    pub fn is_cold(&self) -> bool {
        self.0.cold.is_cancelled()
    }
}
