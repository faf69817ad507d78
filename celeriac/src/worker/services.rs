//! What goes on beside the messages: remote control, events, the lease.

use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use crate::error::Error;

/// A thread for what goes on beside the messages, with a runtime of its own. A
/// task that computes for long between two awaits holds up its runtime; it
/// must neither make the worker look dead nor keep it from being told to end.
pub(super) struct Services {
    runtime: Handle,
    services: JoinSet<()>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Services {
    /// Starts the thread.
    pub fn start() -> Result<Self, Error> {
        let failed = || Error::io("cannot start the services' thread");
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed())?;
        let (stop, stopped) = oneshot::channel::<()>();
        let services = Self {
            runtime: runtime.handle().clone(),
            services: JoinSet::new(),
            _stop: stop,
        };
        let run = move || drop(runtime.block_on(stopped));
        let thread = thread::Builder::new().name("services".to_owned());
        thread.spawn(run).map_err(failed())?;
        Ok(services)
    }

    /// Starts one of them.
    pub fn spawn(&mut self, service: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.services.spawn_on(service, &self.runtime)
    }

    /// Ends them all.
    pub async fn shutdown(mut self) {
        self.services.shutdown().await;
    }
}
