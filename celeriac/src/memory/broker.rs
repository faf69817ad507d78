//! Queues and exchanges in this process (`kombu/transport/memory.py`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Shared;
use super::consumer::MemoryConsumer;
use super::state::{Ear, Store};
use crate::broker::{
    Broker, BrokerInfo, Consumer, DeadLetter, DeadLetters, Fanout, Journal, Notice, Outgoing,
    Subscription,
};
use crate::error::Error;

static BROKERS: Shared<MemoryBroker> = Shared::new();

/// A broker in this process: `memory://`, or `memory://<name>` for one of
/// several. Cheap to clone; a clone is the same broker.
///
/// ```
/// use std::sync::Arc;
/// use celeriac::memory::MemoryBroker;
/// use celeriac::{App, Settings, Signature};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), celeriac::Error> {
/// let app = App::new(Settings::default())?.with_broker(Arc::new(MemoryBroker::new()));
/// app.send(Signature::new("tasks.add").arg(2).arg(2)).await?;
/// assert_eq!(app.broker().purge(&["celery".into()]).await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct MemoryBroker(pub(super) Arc<Store>);

impl MemoryBroker {
    /// A broker that nobody else has.
    pub fn new() -> Self {
        Self::default()
    }

    /// The broker that all who name this address share.
    pub fn at(url: &str) -> Self {
        BROKERS.at(url)
    }

    /// Has whoever holds messages lose them, as when connections are cut: they
    /// go back to their queues, marked as redelivered.
    pub fn disconnect(&self) {
        self.0.state().put_all_back(None);
        self.0.arrived.notify_waiters();
    }

    fn ear(&self, exchange: &str, routing_key: &str, replies: bool) -> Subscription {
        let (subscription, listener, _) = Subscription::new();
        let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
        self.0.state().ears.push(Ear {
            exchange,
            routing_key,
            replies,
            listener,
        });
        subscription
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn info(&self) -> BrokerInfo {
        BrokerInfo::of("memory://", None)
    }

    fn detached(&self) -> Result<Arc<dyn Broker>, Error> {
        Ok(Arc::new(self.clone()))
    }

    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        {
            let mut state = self.0.state();
            messages.iter().for_each(|message| state.send(message));
        }
        self.0.arrived.notify_waiters();
        Ok(())
    }

    fn consumer(&self, nodename: &str) -> Result<Arc<dyn Consumer>, Error> {
        Ok(Arc::new(MemoryConsumer::new(&self.0, nodename)))
    }

    async fn purge(&self, queues: &[Arc<str>]) -> Result<u64, Error> {
        let mut state = self.0.state();
        Ok(queues.iter().map(|queue| state.purge(queue)).sum())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn living(&self) -> Result<Option<Vec<String>>, Error> {
        Ok(Some(self.0.state().living.values().cloned().collect()))
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }

    fn journal(&self) -> Option<&dyn Journal> {
        Some(self)
    }
}

#[async_trait]
impl Fanout for MemoryBroker {
    async fn broadcast(&self, notices: &[Notice]) -> Result<Option<usize>, Error> {
        let mut state = self.0.state();
        Ok(notices.iter().map(|notice| state.say(notice, false)).last())
    }

    async fn subscribe(&self, exchange: &str, routing_key: &str) -> Result<Subscription, Error> {
        Ok(self.ear(exchange, routing_key, false))
    }

    async fn reply(&self, reply: &Notice, _: Duration) -> Result<(), Error> {
        // Whoever does not collect is gone, and so are the replies.
        self.0.state().say(reply, true);
        Ok(())
    }

    async fn replies(
        &self,
        exchange: &str,
        routing_key: &str,
        _: Duration,
    ) -> Result<Subscription, Error> {
        Ok(self.ear(exchange, routing_key, true))
    }
}

#[async_trait]
impl Journal for MemoryBroker {
    async fn publish_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        {
            let mut state = self.0.state();
            let last = state.journals.entry(journal.to_owned()).or_default();
            if number <= *last {
                return Ok(());
            }
            *last = number;
        }
        self.publish(messages).await
    }
}

#[async_trait]
impl DeadLetters for MemoryBroker {
    async fn list(&self) -> Result<Vec<DeadLetter>, Error> {
        let state = self.0.state();
        Ok(state.letters.iter().map(|it| it.letter.clone()).collect())
    }

    async fn revive(&self, letter: &DeadLetter) -> Result<bool, Error> {
        let revived = {
            let mut state = self.0.state();
            let place = state.letters.iter().position(|it| it.letter == *letter);
            let found = place.map(|place| state.letters.remove(place));
            if let Some(found) = &found {
                let queue = found.letter.queue.as_str().into();
                state.put(queue, found.message.clone(), false);
            }
            found.is_some()
        };
        self.0.arrived.notify_waiters();
        Ok(revived)
    }

    async fn forget(&self, letter: &DeadLetter) -> Result<bool, Error> {
        let mut state = self.0.state();
        let before = state.letters.len();
        state.letters.retain(|it| it.letter != *letter);
        Ok(state.letters.len() < before)
    }
}
