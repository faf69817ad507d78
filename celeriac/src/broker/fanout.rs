//! Messages that are no tasks: control commands, their replies, and events.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::Error;
use crate::value::{DecodeError, Serializer, json};

/// A message that is no task.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The exchange that it goes to: `celeryev`, `celery.pidbox`.
    pub exchange: String,
    /// What it is about, for those who choose: `worker.heartbeat`.
    pub routing_key: String,
    /// What is said beside the body: `clock`, `ticket`, `hostname`.
    pub headers: Map<String, Value>,
    /// What the body is written in on its way.
    pub serializer: Serializer,
    /// The body, as JSON here, whatever it is written in.
    pub body: Vec<u8>,
}

impl Notice {
    /// Reads the body, if `accept`, a list of names and content types, has what
    /// it was written in.
    pub(crate) fn read<T: DeserializeOwned>(&self, accept: &[String]) -> Result<T, DecodeError> {
        Serializer::accepted(self.serializer.content_type(), accept)?;
        json::from_slice(&self.body).map_err(DecodeError::Body)
    }
}

/// Hears what is sent, until it is dropped. A lost connection is opened again
/// meanwhile; what is sent while it is lost is not heard.
pub struct Subscription {
    notices: mpsc::UnboundedReceiver<Notice>,
    begun: Arc<Notify>,
    /// Ends the task that listens.
    _end: DropGuard,
}

impl Subscription {
    /// A subscription, where its listener leaves what it hears, and how the
    /// listener knows that nobody hears it any more. For who writes a broker.
    pub fn new() -> (Self, mpsc::UnboundedSender<Notice>, CancellationToken) {
        let (sender, notices) = mpsc::unbounded_channel();
        let end = CancellationToken::new();
        let subscription = Self {
            notices,
            begun: Arc::default(),
            _end: end.clone().drop_guard(),
        };
        (subscription, sender, end)
    }

    /// Is notified whenever it begins to hear again: what was sent meanwhile has
    /// not been heard.
    pub fn begun(&self) -> Arc<Notify> {
        Arc::clone(&self.begun)
    }

    /// Waits for the next one. `None` if there will be none.
    pub async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }
}

/// A broker as a place to be heard in.
#[async_trait]
pub trait Fanout: Send + Sync {
    /// Sends to all who are subscribed now, in one round trip. Answers how
    /// many heard the last one, where the broker knows.
    async fn broadcast(&self, notices: &[Notice]) -> Result<Option<usize>, Error>;

    /// Hears what is broadcast to `exchange`, all of it once this returns; that
    /// takes as long as the broker is away. `#` in the routing key stands for
    /// anything, and an empty one for none.
    async fn subscribe(&self, exchange: &str, routing_key: &str) -> Result<Subscription, Error>;

    /// Answers who opened [`replies`](Self::replies) under the notice's routing
    /// key; nobody else. What is not collected within `expires` is forgotten.
    async fn reply(&self, reply: &Notice, expires: Duration) -> Result<(), Error>;

    /// Collects what is sent with [`reply`](Self::reply) under `routing_key`
    /// from now on. Nothing of it is left behind.
    async fn replies(
        &self,
        exchange: &str,
        routing_key: &str,
        expires: Duration,
    ) -> Result<Subscription, Error>;
}
