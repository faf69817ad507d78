//! Whether the servers still answer once a shutdown has begun. A warm shutdown
//! waits for a slow server, not for one that is gone.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use crate::error::Error;

/// A server that has said nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// What is between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// Which of the servers are gone.
#[derive(Default)]
pub(super) struct Presence {
    broker: Server,
    results: Server,
}

struct Server(watch::Sender<bool>);

impl Default for Server {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Server {
    async fn lost(&self) {
        // Its sender is ours: it lives.
        let _ = self.0.subscribe().wait_for(|&gone| gone).await;
    }

    /// Asks again and again whether it is there.
    async fn watch<F: Future<Output = Result<(), Error>>>(&self, ask: impl Fn() -> F) {
        let mut heard = Instant::now();
        loop {
            let left = SILENCE.saturating_sub(heard.elapsed()).max(PAUSE);
            match timeout(left, ask()).await {
                Ok(Ok(())) => heard = Instant::now(),
                Ok(Err(error)) => tracing::debug!(%error, "a server does not answer"),
                Err(_) => {}
            }
            self.0.send_replace(heard.elapsed() >= SILENCE);
            sleep(PAUSE).await;
        }
    }
}

impl Presence {
    /// Waits until one of the servers is gone.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.broker.lost() => {}
            () = self.results.lost() => {}
        }
    }

    /// Whether the broker is gone.
    pub fn is_broker_lost(&self) -> bool {
        *self.broker.0.borrow()
    }
}

/// From the beginning of a shutdown on, keeps asking the servers whether they
/// are there. Until aborted.
pub(super) async fn watch(shared: &Shared) {
    shared.shutdown.warm().await;
    let broker = shared.presence.broker.watch(|| shared.beside.ping());
    let results = async {
        if let Some(store) = shared.app.result_store() {
            shared.presence.results.watch(|| store.ping()).await;
        }
    };
    tokio::join!(broker, results);
}
