//! kombu's layout on Redis (`kombu/transport/redis.py`).
//!
//! | key | what it holds |
//! | --- | --- |
//! | `<queue>`, `<queue>\x06\x16<step>` | messages by priority step; pushed left, popped right |
//! | `bcast.<uuid>` | the same of a broadcast: one worker's own, see `broadcast` |
//! | `unacked` | tag → `[message, exchange, routing_key]` |
//! | `unacked_index` | tag → time of delivery |
//! | `_kombu.binding.<exchange>` | `routing_key\x06\x16pattern\x06\x16queue` |
//! | `<id>.reply.celery.pidbox` | replies to a control command; expire |
//! | `celeriac.workers`, `celeriac.lease:<worker>` | who lives (see `recovery`) |
//! | `celeriac.fetcher:<worker>` | by which connection it may take messages (see `held`) |
//! | `celeriac.known:<worker>` | that Redis knows it: missing where Redis has lost its data (see `lease`) |
//! | `celeriac.broadcasts:<worker>` | the broadcasts that it hears |
//! | `celeriac.dead_letter` | messages that nobody can run, with the reason |
//! | `celeriac.refused` | what is no JSON, until it is in the list above |
//! | `celeriac.sent:<mark>` | what has been sent and must not be sent twice (see `once`) |
//! | `celeriac.journal:<journal>` | how far it has been published (see [`Transport::publish_once`]) |
//! | `celeriac.beat.*` | what beats share (see [`RedisSchedule`](super::RedisSchedule)) |
//!
//! A pop and its entry in `unacked` are one script, so that a message is
//! never in a worker's memory alone. Who holds a message, and how long, is
//! written down in `held`.

mod ack;
mod broadcast;
mod dead_letter;
mod fanout;
mod fetch;
mod held;
mod keys;
mod lease;
#[cfg(test)]
mod model;
mod notice;
mod once;
mod recovery;
mod replies;
mod routing;
mod settle;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::broker::{Binding, Broadcast, DeadLetter, Delivery, Outgoing, Tag, Transport};
use crate::config::{Settings, TransportOptions};
use crate::error::Error;
use crate::redis::batcher::Batcher;
use crate::redis::link::{Connection, Server};

use ack::Acks;
use broadcast::Heard;
use fetch::{Fetched, Fetcher};
use held::{Held, Sureness};
pub(super) use keys::Keys;
#[doc(hidden)]
pub use notice::decode as decode_notice;
use once::Marks;
use settle::Unacked;

/// Celery's broker on Redis 6.2 or newer.
pub struct RedisBroker {
    server: Server,
    /// Carries everything but fetches; opens itself again.
    connection: Connection,
    acks: Batcher<Acks>,
    unacked: Unacked,
    requeues: Batcher<Unacked>,
    marks: Marks,
    keys: Keys,
    options: TransportOptions,
    own: Arc<Own>,
}

/// What a worker knows of itself and of the others, whichever connection it
/// uses.
struct Own {
    /// Begins every tag of this worker's.
    worker: String,
    nodename: OnceLock<String>,
    /// How often it has taken messages, whatever the connection: a tag must
    /// not come again as long as the broker may know it.
    turns: AtomicUsize,
    /// What it has fetched and not settled.
    held: Held,
    /// Whether it may be sure of that.
    sureness: Sureness,
    /// The number of the next renewal, the same until its answer is heard.
    /// Renewals are made one after the other.
    renewing: Mutex<usize>,
    /// The connection that takes messages; `None` until the first fetch and
    /// after a fault.
    fetcher: Mutex<Option<Fetcher>>,
    /// Whether a fetcher may have taken what nobody knows.
    unswept: AtomicBool,
    /// Workers that had no lease when last looked at; `None` if that failed.
    suspects: Mutex<Option<HashSet<String>>>,
    /// The broadcasts that it hears, by queue.
    heard: Mutex<HashMap<Arc<str>, Heard>>,
}

impl Own {
    fn new() -> Self {
        Self {
            worker: Uuid::new_v4().simple().to_string(),
            nodename: OnceLock::new(),
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
    fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Empty until the worker has said it.
    fn nodename(&self) -> &str {
        self.nodename.get().map_or("", String::as_str)
    }
}

impl RedisBroker {
    /// A transport to the broker of `settings`; connects when first used.
    ///
    /// # Errors
    /// [`Error::Url`] if its address is not one of Redis.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let server = Server::new("broker_url", &settings.broker_url, &settings.broker_link())?;
        let options = settings.broker_transport_options.clone();
        Ok(Self::of(server, options, Arc::new(Own::new())))
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
            marks: Marks::default(),
            connection,
            server,
            keys,
            options,
            own,
        }
    }

    /// A connection that takes messages, the only one that Redis obeys.
    async fn fetcher(&self) -> Result<Fetcher, Error> {
        let mut fetcher = Fetcher::connect(self).await?;
        fetcher.admitted(self.succeed().await?);
        Ok(fetcher)
    }

    /// Fetches; begins anew if others have taken this worker for dead.
    async fn fetch_with(
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

    fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

#[async_trait]
impl Transport for RedisBroker {
    fn apart(&self) -> Result<Arc<dyn Transport>, Error> {
        let own = Arc::clone(&self.own);
        let apart = Self::of(self.server.clone(), self.options.clone(), own);
        Ok(Arc::new(apart))
    }

    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        self.send(messages).await
    }

    async fn publish_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        self.send_once(messages, journal, number).await
    }

    async fn declare(&self, queues: &[Binding]) -> Result<(), Error> {
        self.keys.bind(queues, &self.connection).await
    }

    async fn hear(&self, broadcasts: &[Broadcast]) -> Result<(), Error> {
        self.hear_only(broadcasts).await
    }

    async fn purge(&self, queues: &[Arc<str>]) -> Result<u64, Error> {
        let mut purged = 0;
        for (list, _) in self.keys.lists(queues, 0) {
            let mut pipeline = ::redis::pipe();
            pipeline.atomic().llen(&list).del(&list).ignore();
            let (length,): (u64,) = pipeline.query_async(&mut self.connection()).await?;
            purged += length;
        }
        Ok(purged)
    }

    async fn fetch(
        &self,
        queues: &[Arc<str>],
        max: usize,
        patience: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        let mut slot = self.own.fetcher.lock().await;
        let mut fetcher = match slot.take() {
            Some(fetcher) => fetcher,
            None => self.fetcher().await?,
        };
        let fetched = self.fetch_with(&mut fetcher, queues, max, patience);
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

    async fn ack(&self, tag: &Tag) -> Result<(), Error> {
        self.own.held.settle(tag);
        self.acks.ask(Arc::clone(tag)).await?;
        self.own.held.remove(tag);
        Ok(())
    }

    async fn requeue(&self, tag: &Tag) -> Result<(), Error> {
        self.own.held.settle(tag);
        self.requeues.ask(Arc::clone(tag)).await?;
        self.own.held.remove(tag);
        Ok(())
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), Error> {
        self.own.held.settle(&delivery.tag);
        self.unacked.bury(delivery, reason).await?;
        self.own.held.remove(&delivery.tag);
        Ok(())
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        self.letters().await
    }

    async fn revive(&self, letter: &DeadLetter) -> Result<bool, Error> {
        self.put_in_queue(letter).await
    }

    async fn forget(&self, letter: &DeadLetter) -> Result<bool, Error> {
        self.drop_letter(letter).await
    }

    fn begin(&self, tag: &Tag) -> Option<bool> {
        let sure = self.own.sureness.is_there();
        sure.then(|| self.own.held.begin(tag))
    }

    async fn sure(&self) {
        self.own.sureness.wait().await;
    }

    async fn tend(&self, nodename: &str) -> Result<(), Error> {
        self.own.nodename.get_or_init(|| nodename.to_owned());
        self.renew().await?;
        self.bind_heard().await
    }

    async fn recover(&self) -> Result<(), Error> {
        self.bring_back().await
    }

    async fn living(&self) -> Result<Vec<String>, Error> {
        let leases = self.leases().await?;
        let nodes = leases.into_iter().filter_map(|(_, node)| node);
        Ok(nodes.filter(|node| !node.is_empty()).collect())
    }

    async fn ping(&self) -> Result<(), Error> {
        self.server.open_and_ask().await?;
        Ok(())
    }

    fn held(&self) -> usize {
        self.own.held.tags().len()
    }

    fn tend_interval(&self) -> Duration {
        self.certain_for() / 3
    }

    fn recover_interval(&self) -> Duration {
        self.lease() / 3
    }

    async fn leave(&self) -> Result<(), Error> {
        self.own.held.clear();
        self.retire().await
    }
}
