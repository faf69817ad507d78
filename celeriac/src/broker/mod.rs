//! What a broker is to those who send and to those who work, whichever kind it
//! is of: nobody asks for its kind, only for what it can.
//!
//! - [`Broker`]: sends messages, and opens consumers
//! - [`Consumer`]: takes messages, and settles them
//! - [`Fanout`]: what is said to all: events, commands and their replies
//! - [`Queue`], [`Binding`]: what is declared
//!
//! What not every broker has, it is asked for: [`Broker::dead_letters`],
//! [`Broker::journal`], [`Broker::living`], [`Consumer::leases`].
//!
//! A new kind of broker implements the first three, and passes
//! [`testing::conformance`](crate::testing::conformance).

mod consumer;
mod dead_letter;
mod fanout;
mod info;
mod journal;
mod topology;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::error::Error;
use crate::message::Message;
use crate::value::{DecodeError, json};

pub use consumer::{Consumer, Leases, Settled};
pub use dead_letter::{DeadLetter, DeadLetters};
pub use fanout::{Fanout, Notice, Subscription};
pub use info::BrokerInfo;
pub use journal::Journal;
pub(crate) use topology::topic_fits;
pub use topology::{Binding, ExchangeType, Queue};

/// Names a delivery until it is settled.
pub type Tag = Arc<str>;

/// A message handed to this worker, and to no other until it is settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its name for [`Consumer::ack`] and the like.
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

/// A broker. Every method may fail with a lost connection, and may then be
/// called again: what it did twice, it did once. That does not hold for
/// [`Fanout`]'s methods, which nobody calls twice.
#[async_trait]
pub trait Broker: Fanout {
    /// Which broker it is, for people.
    fn info(&self) -> BrokerInfo;

    /// The same broker on connections of its own: for what another runtime
    /// does, which is not to wait for this one.
    ///
    /// # Errors
    /// When the broker's address cannot be used.
    fn detached(&self) -> Result<Arc<dyn Broker>, Error>;

    /// Sends messages, all in one round trip if it can. When it returns, the
    /// broker has them.
    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error>;

    /// Who takes messages for the worker `nodename`; connects when first used.
    ///
    /// # Errors
    /// When the broker's address cannot be used.
    fn consumer(&self, nodename: &str) -> Result<Arc<dyn Consumer>, Error>;

    /// Deletes what waits in the queues; how many messages. As
    /// `app.control.purge`.
    async fn purge(&self, queues: &[Arc<str>]) -> Result<u64, Error>;

    /// Asks the broker whether it is there, on a connection of its own.
    async fn ping(&self) -> Result<(), Error>;

    /// The nodenames of the workers that live, if the broker knows.
    async fn living(&self) -> Result<Option<Vec<String>>, Error> {
        Ok(None)
    }

    /// What nobody could run, if it can be looked through.
    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        None
    }

    /// Sends by number, if it can.
    fn journal(&self) -> Option<&dyn Journal> {
        None
    }
}
