//! A worker's way to its messages; who holds them is written down in
//! [`held`](super::held).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::RedisBroker;
use super::ack::Acks;
use super::broadcast::Heard;
use super::fetch::{Fetched, Fetcher};
use super::held::{self, Held, Sureness};
use super::keys::Keys;
use super::lease;
use super::settle::Unacked;
use crate::broker::{Binding, Consumer, Delivery, Leases, Queue, Settled, Tag};
use crate::config::{ExchangeType, TransportOptions};
use crate::error::Error;
use crate::redis::batcher::Batcher;
use crate::redis::link::{Connection, Server};

/// Takes messages for one worker.
pub(super) struct RedisConsumer {
    pub server: Server,
    /// Carries everything but fetches; opens itself again.
    pub connection: Connection,
    pub acks: Batcher<Acks>,
    pub unacked: Unacked,
    pub requeues: Batcher<Unacked>,
    pub keys: Keys,
    pub options: TransportOptions,
    /// What it consumes from.
    queues: std::sync::Mutex<Arc<[Arc<str>]>>,
    pub own: Arc<Own>,
}

/// What a worker knows of itself and of the others, whichever connection it
/// uses.
pub(super) struct Own {
    /// Begins every tag of this worker's.
    pub worker: String,
    pub nodename: String,
    /// How often it has taken messages, whatever the connection: a tag must
    /// not come again as long as the broker may know it.
    pub turns: AtomicUsize,
    /// What it has fetched and not settled.
    pub held: Held,
    /// Whether it may be sure of that.
    pub sureness: Sureness,
    /// The number of the next renewal, the same until its answer is heard.
    /// Renewals are made one after the other.
    pub renewing: Mutex<usize>,
    /// The connection that takes messages; `None` until the first fetch and
    /// after a fault.
    pub fetcher: Mutex<Option<Fetcher>>,
    /// Whether a fetcher may have taken what nobody knows.
    pub unswept: AtomicBool,
    /// Workers that had no lease when last looked at; `None` if that failed.
    pub suspects: Mutex<Option<HashSet<String>>>,
    /// The broadcasts that it hears, by queue.
    pub heard: Mutex<HashMap<Arc<str>, Heard>>,
}

impl Own {
    fn new(nodename: &str) -> Self {
        Self {
            worker: Uuid::new_v4().simple().to_string(),
            nodename: nodename.to_owned(),
            turns: AtomicUsize::new(0),
            held: Held::default(),
            sureness: Sureness::default(),
            renewing: Mutex::default(),
            fetcher: Mutex::default(),
            unswept: AtomicBool::new(false),
            suspects: Mutex::default(),
            heard: Mutex::default(),
        }
    }

    /// The number of the next fetch, which none had before.
    pub fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}

impl RedisConsumer {
    /// A worker that nobody has heard of yet.
    pub fn new(broker: &RedisBroker, nodename: &str) -> Self {
        let (server, options) = (broker.server.clone(), broker.options.clone());
        Self::of(server, options, Arc::new(Own::new(nodename)))
    }

    fn of(server: Server, options: TransportOptions, own: Arc<Own>) -> Self {
        let connection = Connection::new(&server);
        let keys = Keys::of(&server, &options);
        let acks = Acks {
            connection: connection.clone(),
            keys: keys.clone(),
        };
        let unacked = Unacked {
            connection: connection.clone(),
            keys: keys.clone(),
        };
        Self {
            acks: Batcher::new(acks),
            requeues: Batcher::new(unacked.clone()),
            unacked,
            connection,
            server,
            keys,
            options,
            queues: std::sync::Mutex::new(Arc::new([])),
            own,
        }
    }

    /// A connection that takes messages, the only one that Redis obeys.
    pub(super) async fn fetcher(&self) -> Result<Fetcher, Error> {
        let mut fetcher = Fetcher::connect(self).await?;
        fetcher.admitted(self.succeed().await?);
        Ok(fetcher)
    }

    /// Fetches; begins anew if others have taken this worker for dead.
    pub(super) async fn fetch_with(
        &self,
        fetcher: &mut Fetcher,
        queues: &[Arc<str>],
        max: usize,
        patience: Duration,
    ) -> Result<(Vec<Delivery>, u64), Error> {
        self.own.unswept.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            match fetcher.fetch(queues, max, patience).await? {
                Fetched::Taken { deliveries, proven } => return Ok((deliveries, proven)),
                Fetched::Refused => fetcher.admitted(self.succeed().await?),
            }
        }
        Err(lease::unleased())
    }

    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// What becomes of a delivery that is being settled.
    fn settled(&self, tag: &Tag) -> Settled {
        match self.own.held.remove(tag) {
            true => Settled::Done,
            false => Settled::Lost,
        }
    }
}

#[async_trait]
impl Consumer for RedisConsumer {
    async fn subscribe(&self, queues: &[Queue]) -> Result<(), Error> {
        let fanout = |queue: &&Queue| queue.exchange_type() == ExchangeType::Fanout;
        let (broadcasts, plain): (Vec<&Queue>, Vec<&Queue>) = queues.iter().partition(fanout);
        let bindings = plain.iter().flat_map(|queue| queue.bindings());
        let bindings: Vec<Binding> = bindings.cloned().collect();
        self.keys.bind(&bindings, &self.connection).await?;
        let broadcasts = broadcasts.iter().filter_map(|queue| queue.main.clone());
        self.hear_only(&broadcasts.collect::<Vec<_>>()).await?;
        let names = queues.iter().map(|queue| Arc::clone(&queue.name));
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = names.collect();
        Ok(())
    }

    async fn next(&self, room: usize, patience: Duration) -> Result<Vec<Delivery>, Error> {
        let queues = Arc::clone(&self.queues.lock().unwrap_or_else(PoisonError::into_inner));
        let mut slot = self.own.fetcher.lock().await;
        let mut fetcher = match slot.take() {
            Some(fetcher) => fetcher,
            None => self.fetcher().await?,
        };
        let fetched = self.fetch_with(&mut fetcher, &queues, room, patience);
        let (deliveries, proven) = fetched.await?;
        // Not put back after an error: a connection that failed once is not trusted.
        *slot = Some(fetcher);
        let tags = deliveries.iter().map(|delivery| Arc::clone(&delivery.tag));
        self.own.held.add(tags);
        if !deliveries.is_empty() && held::now() >= proven {
            // Others may have been given them meanwhile.
            self.own.sureness.doubt();
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "cannot renew what is held");
            }
        }
        Ok(deliveries)
    }

    async fn ack(&self, tag: &Tag) -> Result<Settled, Error> {
        self.own.held.settle(tag);
        self.acks.ask(Arc::clone(tag)).await?;
        Ok(self.settled(tag))
    }

    async fn requeue(&self, tag: &Tag) -> Result<Settled, Error> {
        self.own.held.settle(tag);
        self.requeues.ask(Arc::clone(tag)).await?;
        Ok(self.settled(tag))
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<Settled, Error> {
        self.own.held.settle(&delivery.tag);
        self.unacked.bury(delivery, reason).await?;
        Ok(self.settled(&delivery.tag))
    }

    fn held(&self) -> usize {
        self.own.held.tags().len()
    }

    fn begin(&self, tag: &Tag) -> Option<bool> {
        let sure = self.own.sureness.is_there();
        sure.then(|| self.own.held.begin(tag))
    }

    async fn sure(&self) {
        self.own.sureness.wait().await;
    }

    fn leases(&self) -> Result<Option<Arc<dyn Leases>>, Error> {
        let own = Arc::clone(&self.own);
        let detached = Self::of(self.server.clone(), self.options.clone(), own);
        Ok(Some(Arc::new(detached)))
    }

    async fn leave(&self) -> Result<(), Error> {
        self.own.held.clear();
        self.retire().await
    }
}

#[async_trait]
impl Leases for RedisConsumer {
    async fn tend(&self) -> Result<(), Error> {
        self.renew().await?;
        self.bind_heard().await
    }

    fn tend_interval(&self) -> Duration {
        self.certain_for() / 3
    }

    async fn recover(&self) -> Result<(), Error> {
        self.bring_back().await
    }

    fn recover_interval(&self) -> Duration {
        self.lease() / 3
    }
}
