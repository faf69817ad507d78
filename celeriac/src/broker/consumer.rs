//! Taking messages, and settling them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Delivery, Queue, Tag};
use crate::error::Error;

/// What becomes of a delivery that is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// It was this consumer's, and is settled.
    Done,
    /// It was this consumer's no more: the broker has given its message to
    /// another, or will. Nothing was done.
    Lost,
}

/// One worker's way to its messages. Every method may fail with a lost
/// connection, and may then be called again.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Consumes from these queues from now on, and from no others; makes them,
    /// and what brings them their messages. To be called before
    /// [`next`](Self::next), when the queues change, and after an error.
    ///
    /// A queue that is bound to a fanout exchange is this worker's alone, and is
    /// filled from now on. It goes when the worker leaves, or has died.
    async fn subscribe(&self, queues: &[Queue]) -> Result<(), Error>;

    /// Takes messages, `room` at most; waits up to `patience` for the first.
    /// From then on they are this consumer's, until they are settled. Those of
    /// one queue and one priority come in the order in which they were sent.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has taken nothing, or gives back what it
    /// has taken.
    async fn next(&self, room: usize, patience: Duration) -> Result<Vec<Delivery>, Error>;

    /// Settles a delivery: its message is done with.
    async fn ack(&self, tag: &Tag) -> Result<Settled, Error>;

    /// Settles a delivery by putting its message back where the next who asks
    /// finds it, marked as redelivered.
    async fn requeue(&self, tag: &Tag) -> Result<Settled, Error>;

    /// Settles a delivery that nobody can run, and keeps its message with the
    /// reason.
    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<Settled, Error>;

    /// How many deliveries are held.
    fn held(&self) -> usize;

    /// Asks whether a delivery is still this consumer's, and may begin. It may
    /// not if others have been given the message meanwhile. `None`: it is not
    /// known; ask again once the consumer is [`sure`](Self::sure).
    fn begin(&self, tag: &Tag) -> Option<bool>;

    /// Waits until it knows what it holds.
    async fn sure(&self) {}

    /// What keeps what is held, on connections of its own, where that has to be
    /// renewed.
    ///
    /// # Errors
    /// When the broker's address cannot be used.
    fn leases(&self) -> Result<Option<Arc<dyn Leases>>, Error> {
        Ok(None)
    }

    /// Puts back what is still held, and leaves.
    async fn leave(&self) -> Result<(), Error>;
}

/// A consumer whose hold on its messages ends unless it is renewed.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Says that the worker is alive and holds what it has taken, and learns
    /// what it holds no more. To be called every
    /// [`tend_interval`](Self::tend_interval), whatever else goes on.
    async fn tend(&self) -> Result<(), Error>;

    /// How often to call [`tend`](Self::tend).
    fn tend_interval(&self) -> Duration;

    /// Puts back into the queues what dead workers held. To be called every
    /// [`recover_interval`](Self::recover_interval).
    async fn recover(&self) -> Result<(), Error>;

    /// How often to call [`recover`](Self::recover).
    fn recover_interval(&self) -> Duration;
}
