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
//! | `celeriac.journal:<journal>` | how far it has been published (see [`Journal`]) |
//! | `celeriac.beat.*` | what beats share (see [`RedisSchedule`](super::RedisSchedule)) |
//!
//! A pop and its entry in `unacked` are one script, so that a message is
//! never in a worker's memory alone. Who holds a message, and how long, is
//! written down in `held`.

mod ack;
mod broadcast;
mod consumer;
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

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Map;

use crate::broker::{Broker, BrokerInfo, Consumer, DeadLetter, DeadLetters, Journal, Outgoing};
use crate::config::{Settings, TransportOptions};
use crate::error::Error;
use crate::redis::link::{Connection, LinkOptions, Server};

use consumer::RedisConsumer;
pub(super) use keys::Keys;
#[doc(hidden)]
pub use notice::decode as decode_notice;
use once::Marks;

/// Celery's broker on Redis 6.2 or newer.
pub struct RedisBroker {
    info: BrokerInfo,
    server: Server,
    /// Carries everything but fetches; opens itself again.
    connection: Connection,
    marks: Marks,
    keys: Keys,
    options: TransportOptions,
}

impl RedisBroker {
    /// The broker of `settings`; connects when first used.
    ///
    /// # Errors
    /// [`Error::Url`] if its address is not one of Redis.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let server = Server::new(
            "broker_url",
            &settings.broker_url,
            &LinkOptions::of_broker(settings),
        )?;
        let options = settings.broker_transport_options.clone();
        Ok(Self::of(info(settings), server, options))
    }

    fn of(info: BrokerInfo, server: Server, options: TransportOptions) -> Self {
        Self {
            info,
            marks: Marks::default(),
            connection: Connection::new(&server),
            keys: Keys::of(&server, &options),
            server,
            options,
        }
    }

    fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

#[async_trait]
impl Broker for RedisBroker {
    fn info(&self) -> BrokerInfo {
        self.info.clone()
    }

    fn detached(&self) -> Result<Arc<dyn Broker>, Error> {
        let detached = Self::of(self.info.clone(), self.server.clone(), self.options.clone());
        Ok(Arc::new(detached))
    }

    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        self.send(messages).await
    }

    fn consumer(&self, nodename: &str) -> Result<Arc<dyn Consumer>, Error> {
        let consumer = RedisConsumer::new(self, nodename);
        Ok(Arc::new(consumer))
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

    async fn ping(&self) -> Result<(), Error> {
        self.server.open_and_ask().await?;
        Ok(())
    }

    async fn living(&self) -> Result<Option<Vec<String>>, Error> {
        let leases = self.keys.leases(&self.connection).await?;
        let nodes = leases.into_iter().filter_map(|(_, node)| node);
        Ok(Some(nodes.filter(|node| !node.is_empty()).collect()))
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }

    fn journal(&self) -> Option<&dyn Journal> {
        Some(self)
    }
}

#[async_trait]
impl Journal for RedisBroker {
    async fn publish_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        self.send_once(messages, journal, number).await
    }
}

#[async_trait]
impl DeadLetters for RedisBroker {
    async fn list(&self) -> Result<Vec<DeadLetter>, Error> {
        self.letters().await
    }

    async fn revive(&self, letter: &DeadLetter) -> Result<bool, Error> {
        self.put_in_queue(letter).await
    }

    async fn forget(&self, letter: &DeadLetter) -> Result<bool, Error> {
        self.drop_letter(letter).await
    }
}

/// What kombu says of a Redis.
fn info(settings: &Settings) -> BrokerInfo {
    let mut info = BrokerInfo::of(&settings.broker_url, None);
    if matches!(&*info.transport, "redis" | "rediss") {
        info.port = info.port.or(Some(6379));
        info.ssl = info.transport == "rediss";
        info.transport = "redis".to_owned();
    }
    if info.virtual_host.is_empty() {
        info.virtual_host = "0".to_owned();
    }
    let options = serde_json::to_value(&settings.broker_transport_options);
    info.options = options.unwrap_or_else(|_| Map::new().into());
    info
}
