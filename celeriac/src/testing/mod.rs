//! Tasks tried without a server: an application, and workers, in the test's own
//! process. Calls go the whole way, through routes, limits, retries, canvas and
//! results (`celery.contrib.testing`).
//!
//! In a test whose clock is paused, `#[tokio::test(start_paused = true)]`,
//! nobody waits: countdowns, retries and time-outs are there as soon as nothing
//! else is left to do. Not so with remote control and heartbeats: they are a
//! thread of their own, whose clock nobody pauses.
//!
//! ```
//! use std::time::Duration;
//! use celeriac::{Worker, testing};
//!
//! #[celeriac::task(name = "shop.price", max_retries = 3)]
//! async fn price(units: u32) -> Result<u32, celeriac::TaskError> {
//!     Ok(units * 5)
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), celeriac::Error> {
//! let app = testing::app();
//! let worker = Worker::new(app.clone()).tasks([price::task()]);
//! let worker = testing::start_worker(worker).await?;
//! let hour = Duration::from_secs(3600);
//! let cost = price::s((3,)).countdown(hour).delay(&app).await?;
//! assert_eq!(cost.get(2 * hour).await?, 15);
//! worker.stop().await
//! # }
//! ```
//!
//! - [`app`], [`start_worker`]
//! - [`conformance`]: what every broker and every result backend must do

pub mod conformance;

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use crate::client::App;
use crate::config::Settings;
use crate::error::Error;
use crate::memory::{MemoryBroker, MemoryResults};
use crate::shutdown::Shutdown;
use crate::worker::Worker;

/// An application with a broker and results of its own, in this process; with
/// no setting but Celery's defaults. As `celery.contrib.testing.app.TestApp`.
pub fn app() -> App {
    app_with(Settings::default())
}

/// The same with these settings, whatever they say of the broker and of results.
pub fn app_with(settings: Settings) -> App {
    let results = Arc::new(MemoryResults::new());
    App::of(settings, Arc::new(MemoryBroker::new()), Some(results))
}

/// Starts a worker here; it takes messages once this returns. As
/// `celery.contrib.testing.worker.start_worker`.
///
/// # Errors
/// Those of [`Worker::run_until`], if it does not start.
pub async fn start_worker(worker: Worker) -> Result<RunningWorker, Error> {
    let shutdown = Shutdown::new();
    let (ready, started) = oneshot::channel();
    let ready = std::sync::Mutex::new(Some(ready));
    let worker = worker.on_ready(move |_| {
        let mut ready = ready
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(ready) = ready.take() {
            // Nobody waits if the start was given up.
            let _ = ready.send(());
        }
        async {}
    });
    let running = tokio::spawn(worker.run_until(shutdown.clone()));
    let running = RunningWorker { shutdown, running };
    match started.await {
        Ok(()) => Ok(running),
        // It has ended without.
        Err(_) => running.stop().await.and(Err(Error::ColdShutdown)),
    }
}

/// A worker in this process. Dropped, it ends at once.
pub struct RunningWorker {
    shutdown: Shutdown,
    running: JoinHandle<Result<(), Error>>,
}

impl RunningWorker {
    /// Lets what runs finish, and ends.
    ///
    /// # Errors
    /// Those of [`Worker::run_until`].
    pub async fn stop(mut self) -> Result<(), Error> {
        self.shutdown.begin();
        let ended = (&mut self.running).await;
        ended.map_err(ended_by_itself)?
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn ended_by_itself(error: JoinError) -> Error {
    Error::io("the worker's task")(error.into())
}
