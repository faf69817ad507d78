//! Brokers: where messages wait.
//!
//! [`Transport`] is what a client and a worker need of one, [`Fanout`] what
//! events and remote control need; [`redis`] speaks kombu's layout on Redis.

mod dead_letter;
mod fanout;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::ExchangeType;
use crate::error::Error;
use crate::message::{DecodeError, Message, json};

pub use dead_letter::DeadLetter;
pub use fanout::{Fanout, Notice, Subscription};

/// Names a delivery until it is settled.
pub type Tag = Arc<str>;

/// A message handed to this worker, and to no other until it is settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its name for [`Transport::ack`] and the like.
    pub tag: Tag,
    /// The queue that it was in.
    pub queue: Arc<str>,
    /// The message.
    pub content: Arc<dyn Content>,
}

/// A message as it lies at its broker, until somebody reads it: many may be
/// held, and for long, and what is read takes three times the memory.
pub trait Content: fmt::Debug + Send + Sync {
    /// The message.
    ///
    /// # Errors
    /// What nobody can read is a dead letter.
    fn read(&self) -> Result<Message, DecodeError>;

    /// What can be read of one that cannot be as a whole; `None` if even its
    /// task's id is not among it.
    fn salvage(&self) -> Option<Message> {
        None
    }

    /// What lies at the broker, word for word.
    fn bytes(&self) -> Bytes;
}

/// One that has been read already.
impl Content for Message {
    fn read(&self) -> Result<Message, DecodeError> {
        Ok(self.clone())
    }

    fn salvage(&self) -> Option<Message> {
        Some(self.clone()).filter(|message| !message.headers.id.is_empty())
    }

    fn bytes(&self) -> Bytes {
        json::to_vec(self).unwrap_or_default().into()
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The queue that it goes to.
    pub queue: String,
    /// Whether it goes into that queue, or to the exchange that the message
    /// names, for all who hear it or for the queues that are bound to it.
    pub exchange_type: ExchangeType,
    /// What is to be bound before, so that the exchange has a queue for it
    /// though nobody consumes it yet.
    pub declares: Vec<Binding>,
    /// The message, priority included.
    pub message: Message,
    /// Names this sending among all others. Whoever tries it again, not knowing
    /// whether it was done, keeps the name.
    pub id: Uuid,
}

impl Outgoing {
    /// Into a queue.
    pub fn direct(queue: String, message: Message) -> Self {
        Self {
            queue,
            exchange_type: ExchangeType::Direct,
            declares: Vec::new(),
            message,
            id: Uuid::new_v4(),
        }
    }
}

/// What brings a queue its messages, for those who send by exchange and routing
/// key (`kombu.Queue`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Binding {
    /// The queue's name.
    pub queue: Arc<str>,
    /// The exchange.
    pub exchange: Arc<str>,
    /// Whether the routing key is meant word for word (direct), or is a pattern
    /// with `*` for a word and `#` for any (topic).
    pub exchange_type: ExchangeType,
    /// The routing key that a message needs.
    pub routing_key: Arc<str>,
}

impl Binding {
    /// To the direct exchange of the queue's own name, as Celery binds a queue
    /// of which it knows nothing else.
    pub fn own(queue: &Arc<str>) -> Self {
        Self {
            queue: Arc::clone(queue),
            exchange: Arc::clone(queue),
            exchange_type: ExchangeType::Direct,
            routing_key: Arc::clone(queue),
        }
    }
}

/// A queue of one worker's own that gets all that is sent to an exchange
/// (`kombu.common.Broadcast`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The fanout exchange.
    pub exchange: Arc<str>,
    /// What it is bound with.
    pub routing_key: Arc<str>,
    /// The queue: `bcast.<uuid>`.
    pub queue: Arc<str>,
}

impl Broadcast {
    /// A queue that nobody else has.
    pub fn new(exchange: &str, routing_key: &str) -> Self {
        Self {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            queue: format!("bcast.{}", Uuid::new_v4()).into(),
        }
    }
}

/// A broker. Every method may fail with a lost connection, and may then be
/// called again: what it did twice, it did once. That holds for messages by
/// their delivery tags, and not for [`Fanout`]'s methods, which nobody calls
/// twice.
#[async_trait]
pub trait Transport: Fanout {
    /// The same worker, on connections of its own: for what another runtime
    /// does, which is not to wait for this one.
    ///
    /// # Errors
    /// When the broker's address cannot be used.
    fn apart(&self) -> Result<Arc<dyn Transport>, Error>;

    /// Sends messages, all in one round trip.
    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error>;

    /// Sends what `journal` has under `number`. A number that is not above
    /// the last one sent is not sent again, if the broker can tell: the sender
    /// may have died before it could note that it was.
    async fn publish_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        let _ = (journal, number);
        self.publish(messages).await
    }

    /// Makes queues known to those who send by exchange and routing key.
    async fn declare(&self, queues: &[Binding]) -> Result<(), Error>;

    /// Has these broadcasts fill their queues from now on, and no others; to be
    /// called as [`declare`](Self::declare). What others left is deleted, and
    /// all of them when the worker leaves or has died.
    async fn hear(&self, broadcasts: &[Broadcast]) -> Result<(), Error>;

    /// Takes up to `max` messages from the queues; waits up to `patience` for
    /// the first. From then on they are held by this worker.
    async fn fetch(
        &self,
        queues: &[Arc<str>],
        max: usize,
        patience: Duration,
    ) -> Result<Vec<Delivery>, Error>;

    /// Deletes what waits in the queues; how many messages. As
    /// `app.control.purge`.
    async fn purge(&self, queues: &[Arc<str>]) -> Result<u64, Error>;

    /// Settles a delivery: its message is done with.
    async fn ack(&self, tag: &Tag) -> Result<(), Error>;

    /// Settles a delivery by putting its message back where the next fetch
    /// finds it, marked as redelivered.
    async fn requeue(&self, tag: &Tag) -> Result<(), Error>;

    /// Settles a delivery that nobody can run, and keeps it with the reason.
    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), Error>;

    /// What is kept because nobody could run it, the newest first.
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error>;

    /// Puts a dead letter back into its queue; `false` if it is not there any
    /// more.
    async fn revive(&self, letter: &DeadLetter) -> Result<bool, Error>;

    /// Forgets a dead letter; `false` if it is not there any more.
    async fn forget(&self, letter: &DeadLetter) -> Result<bool, Error>;

    /// Asks whether this worker still holds a delivery, and may begin it. It may
    /// not if the worker was away and others have been given the message. `None`:
    /// it is not known; ask again once this worker is [`sure`](Self::sure).
    fn begin(&self, tag: &Tag) -> Option<bool>;

    /// Waits until this worker knows what it holds, which
    /// [`tend`](Self::tend) tells it.
    async fn sure(&self);

    /// Says that this worker, `nodename`, is alive and holds what it has
    /// fetched, and learns what it holds no more. To be called every
    /// [`tend_interval`](Self::tend_interval), whatever else goes on.
    async fn tend(&self, nodename: &str) -> Result<(), Error>;

    /// Asks the broker whether it is there, on a connection of its own.
    async fn ping(&self) -> Result<(), Error>;

    /// How many deliveries are held.
    fn held(&self) -> usize;

    /// How often to call [`tend`](Self::tend).
    fn tend_interval(&self) -> Duration;

    /// Puts back into the queues what dead workers held. To be called every
    /// [`recover_interval`](Self::recover_interval).
    async fn recover(&self) -> Result<(), Error>;

    /// How often to call [`recover`](Self::recover).
    fn recover_interval(&self) -> Duration;

    /// The nodenames of the workers that live.
    async fn living(&self) -> Result<Vec<String>, Error>;

    /// Puts back what is still held, and leaves.
    async fn leave(&self) -> Result<(), Error>;
}
