//! kombu's layout on Redis (`kombu/transport/redis.py`).
//!
//! | key | what it holds |
//! | --- | --- |
//! | `<queue>`, `<queue>\x06\x16<step>` | messages by priority step; pushed left, popped right |
//! | `bcast.<uuid>` | the same of a broadcast: one worker's own, see [`broadcast`] |
//! | `unacked` | tag → `[message, exchange, routing_key]` |
//! | `unacked_index` | tag → time of delivery |
//! | `_kombu.binding.<exchange>` | `routing_key\x06\x16pattern\x06\x16queue` |
//! | `<id>.reply.celery.pidbox` | replies to a control command; expire |
//! | `celeriac.workers`, `celeriac.lease:<worker>` | who lives (see [`recovery`]) |
//! | `celeriac.broadcasts:<worker>` | the broadcasts that it hears |
//! | `celeriac.dead_letter` | messages that nobody can run, with the reason |
//! | `celeriac.refused` | what is no JSON, until it is in the list above |
//! | `celeriac.journal:<journal>` | how far it has been published (see [`Transport::publish_once`]) |
//! | `celeriac.beat.*` | what beats share (see [`RedisSchedule`]) |
//!
//! A pop and its entry in `unacked` are one script, so that a message is
//! never in a worker's memory alone.

mod ack;
mod broadcast;
mod dead_letter;
mod fanout;
mod fetch;
mod keys;
mod notice;
mod once;
mod recovery;
mod replies;
mod routing;
mod schedule;
mod settle;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Binding, Broadcast, DeadLetter, Delivery, Outgoing, Tag, Transport};
use crate::batcher::Batcher;
use crate::config::{Settings, TransportOptions};
use crate::error::Error;
use crate::redis_link::{Connection, Server};

use ack::Acks;
use broadcast::Heard;
use fetch::Fetcher;
use keys::Keys;
pub use notice::decode as decode_notice;
pub use schedule::RedisSchedule;

/// Celery's broker on Redis 6.2 or newer.
pub struct RedisTransport {
    server: Server,
    /// Carries everything but fetches; opens itself again.
    connection: Connection,
    acks: Batcher<Acks>,
    keys: Keys,
    options: TransportOptions,
    /// The connection that watches the queues; `None` until the first fetch
    /// and after a fault.
    fetcher: Mutex<Option<Fetcher>>,
    own: Arc<Own>,
}

/// What a worker knows of itself and of the others, whichever connection it
/// uses.
struct Own {
    /// Begins every tag of this worker's.
    worker: String,
    /// How often it has taken messages, whatever the connection: a tag must
    /// not come again as long as the broker may know it.
    turns: AtomicUsize,
    /// What it has fetched and not settled.
    held: Held,
    /// Workers that had no lease when last looked at.
    suspects: Mutex<HashSet<String>>,
    /// The broadcasts that it hears, by queue.
    heard: Mutex<HashMap<Arc<str>, Heard>>,
}

impl Own {
    /// The number of the next fetch, which none had before.
    fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}

/// The tags of unsettled deliveries.
#[derive(Default)]
struct Held(std::sync::Mutex<HashSet<Tag>>);

impl Held {
    fn tags(&self) -> std::sync::MutexGuard<'_, HashSet<Tag>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RedisTransport {
    /// A transport to the broker of `settings`; connects when first used.
    ///
    /// # Errors
    /// [`Error::Url`] if its address is not one of Redis.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let server = Server::new("broker_url", &settings.broker_url, &settings.broker_link())?;
        let own = Own {
            worker: Uuid::new_v4().simple().to_string(),
            turns: AtomicUsize::new(0),
            held: Held::default(),
            suspects: Mutex::default(),
            heard: Mutex::default(),
        };
        let options = settings.broker_transport_options.clone();
        Ok(Self::of(server, options, Arc::new(own)))
    }

    fn of(server: Server, options: TransportOptions, own: Arc<Own>) -> Self {
        let connection = Connection::new(&server);
        let keys = Keys::of(&server, &options);
        let acks = Acks {
            connection: connection.clone(),
            keys: keys.clone(),
        };
        Self {
            acks: Batcher::new(acks),
            connection,
            server,
            keys,
            options,
            fetcher: Mutex::new(None),
            own,
        }
    }

    fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

#[async_trait]
impl Transport for RedisTransport {
    fn apart(&self) -> Result<Arc<dyn Transport>, Error> {
        let own = Arc::clone(&self.own);
        let apart = Self::of(self.server.clone(), self.options.clone(), own);
        Ok(Arc::new(apart))
    }

    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        let mut pipeline = ::redis::pipe();
        for message in messages {
            let payload = message.envelope.encode()?;
            for (command, key) in self.keys.destinations(message, &self.connection).await? {
                pipeline.cmd(command).arg(key).arg(&payload).ignore();
            }
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        Ok(pipeline.exec_async(&mut self.connection()).await?)
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
        let mut slot = self.fetcher.lock().await;
        let mut fetcher = match slot.take() {
            Some(fetcher) => fetcher,
            None => {
                let fetcher = Fetcher::connect(self).await?;
                self.put_back_all(&self.own.worker).await?;
                fetcher
            }
        };
        let deliveries = fetcher.fetch(queues, max, patience).await?;
        // Not put back after an error: a connection that failed once is not trusted.
        *slot = Some(fetcher);
        self.own
            .held
            .tags()
            .extend(deliveries.iter().map(|delivery| Arc::clone(&delivery.tag)));
        Ok(deliveries)
    }

    async fn ack(&self, tag: &Tag) -> Result<(), Error> {
        self.acks.ask(Arc::clone(tag)).await?;
        self.own.held.tags().remove(tag);
        Ok(())
    }

    async fn requeue(&self, tag: &Tag) -> Result<(), Error> {
        self.restore(tag).await?;
        self.own.held.tags().remove(tag);
        Ok(())
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), Error> {
        self.bury(delivery, reason).await?;
        self.own.held.tags().remove(&delivery.tag);
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

    async fn tend(&self, nodename: &str) -> Result<(), Error> {
        self.renew(nodename).await?;
        self.recover().await
    }

    async fn living(&self) -> Result<Vec<String>, Error> {
        let leases = self.leases().await?;
        Ok(leases.into_iter().filter_map(|(_, node)| node).collect())
    }

    async fn ping(&self) -> Result<(), Error> {
        self.server.open_and_ask().await?;
        Ok(())
    }

    fn held(&self) -> usize {
        self.own.held.tags().len()
    }

    fn tend_interval(&self) -> Duration {
        Duration::from_secs_f64(self.options.worker_lease.max(1.0) / 3.0)
    }

    async fn leave(&self) -> Result<(), Error> {
        self.own.held.tags().clear();
        self.retire().await
    }
}
