//! Queues that get all that is sent to an exchange (`kombu.common.Broadcast`).
//!
//! What is sent to a fanout exchange is published to its channel, and a Python
//! worker runs what it hears there. A producer that has not declared the
//! exchange takes it for a direct one and pushes the message to every list that
//! is bound to it, where a Python worker does not look. Here both arrive: a
//! worker's queue is a list like any other, bound like Python's, and a *relay*
//! puts into it what the channel brings. Nobody does both with one message.
//!
//! `celeriac.broadcasts:<worker>` notes what is bound, so that others can
//! delete it when the worker is dead.

use std::sync::Arc;
use std::time::Duration;

use ::redis::AsyncCommands;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::consumer::RedisConsumer;
use super::fanout::listen;
use super::keys::Keys;
use crate::broker::Binding;
use crate::error::Error;
use crate::redis::link::{Connection, Server};
use crate::redis::wire;

/// A start waits so long for the subscription. What is published before it is
/// not heard.
const PATIENCE: Duration = Duration::from_secs(5);

/// A broadcast that fills its queue.
pub(super) struct Heard {
    broadcast: Binding,
    relay: AbortOnDropHandle<()>,
}

impl RedisConsumer {
    /// As [`Consumer::subscribe`](crate::broker::Consumer::subscribe), of broadcasts.
    pub(super) async fn hear_only(&self, wanted: &[Binding]) -> Result<(), Error> {
        let mut heard = self.own.heard.lock().await;
        let unwanted = |heard: &&mut Heard| !wanted.contains(&heard.broadcast);
        for Heard { broadcast, relay } in heard.values_mut().filter(unwanted) {
            if !relay.is_finished() {
                relay.abort();
                // What it has pushed by then is deleted with the rest.
                let _ = relay.await;
            }
            self.unbind(broadcast).await?;
        }
        // Only now: what has failed before is tried again with the next call.
        heard.retain(|_, heard| wanted.contains(&heard.broadcast));
        for broadcast in wanted {
            self.bind(std::slice::from_ref(broadcast)).await?;
            let filled = heard.get(&broadcast.queue);
            if filled.is_none_or(|heard| heard.relay.is_finished()) {
                let relay = self.relay(broadcast).await;
                let broadcast = broadcast.clone();
                heard.insert(Arc::clone(&broadcast.queue), Heard { broadcast, relay });
            }
        }
        Ok(())
    }

    /// Binds again what is heard: others may have taken this worker for dead.
    pub(super) async fn bind_heard(&self) -> Result<(), Error> {
        // Taken: they are being bound.
        let heard = self.own.heard.try_lock().map(|heard| {
            let broadcasts = heard.values().map(|heard| heard.broadcast.clone());
            broadcasts.collect::<Vec<_>>()
        });
        self.bind(&heard.unwrap_or_default()).await
    }

    /// Deletes all that a worker has heard with, even what it has put back
    /// since.
    pub(super) async fn forget_broadcasts(&self, worker: &str) -> Result<(), Error> {
        let key = self.keys.broadcasts(worker);
        let notes: Vec<String> = self.connection().smembers(&key).await?;
        for broadcast in notes.iter().filter_map(|note| Keys::noted(note)) {
            self.unbind(&broadcast).await?;
        }
        Ok(self.connection().del(key).await?)
    }

    async fn bind(&self, broadcasts: &[Binding]) -> Result<(), Error> {
        if broadcasts.is_empty() {
            return Ok(());
        }
        let mut pipeline = ::redis::pipe();
        // First, so that whatever comes after it can be found.
        pipeline
            .sadd(self.keys.workers(), &self.own.worker)
            .ignore();
        for broadcast in broadcasts {
            let noted = self.keys.broadcasts(&self.own.worker);
            pipeline.sadd(noted, Keys::note(broadcast)).ignore();
            self.for_tables(broadcast, |table, member| {
                pipeline.sadd(table, member).ignore();
            });
        }
        Ok(pipeline.exec_async(&mut self.connection()).await?)
    }

    async fn unbind(&self, broadcast: &Binding) -> Result<(), Error> {
        let mut pipeline = ::redis::pipe();
        self.for_tables(broadcast, |table, member| {
            pipeline.srem(table, member).ignore();
        });
        for (list, _) in self.keys.lists(&[&broadcast.queue], 0) {
            pipeline.del(list).ignore();
        }
        Ok(pipeline.exec_async(&mut self.connection()).await?)
    }

    fn for_tables(&self, broadcast: &Binding, mut change: impl FnMut(String, &str)) {
        let member = self.keys.binding(&broadcast.routing_key, &broadcast.queue);
        for table in self.keys.binding_tables(&broadcast.exchange) {
            change(table, &member);
        }
    }

    /// Starts to fill a broadcast's queue.
    async fn relay(&self, broadcast: &Binding) -> AbortOnDropHandle<()> {
        let (exchange, key) = (&broadcast.exchange, &broadcast.routing_key);
        let channel = self.keys.channel(exchange, &key.replace('#', "*"));
        let relay = Relay {
            server: self.server.clone(),
            connection: self.connection(),
            keys: self.keys.clone(),
            queue: Arc::clone(&broadcast.queue),
        };
        let subscribed = Arc::new(Notify::new());
        let running = tokio::spawn(relay.run(channel, Arc::clone(&subscribed)));
        let running = AbortOnDropHandle::new(running);
        if timeout(PATIENCE, subscribed.notified()).await.is_err() {
            tracing::warn!(exchange = &**exchange, "cannot subscribe yet; trying on");
        }
        running
    }
}

/// Puts what a channel brings into a queue.
struct Relay {
    server: Server,
    connection: Connection,
    keys: Keys,
    queue: Arc<str>,
}

impl Relay {
    async fn run(self, channel: String, subscribed: Arc<Notify>) {
        let (sender, heard) = unbounded_channel();
        let hear = |payload| drop(sender.send(payload));
        let listening = listen(self.server.clone(), channel, &subscribed, hear);
        tokio::join!(listening, self.fill(heard));
    }

    async fn fill(&self, mut heard: UnboundedReceiver<Vec<u8>>) {
        while let Some(payload) = heard.recv().await {
            let list = self.keys.queue(&self.queue, wire::priority_of(&payload));
            // Not tried again: it may have arrived, and would run twice.
            let pushed: Result<(), _> = self.connection.clone().lpush(list, payload).await;
            if let Err(error) = pushed {
                tracing::warn!(%error, queue = &*self.queue, "a broadcast message is lost");
            }
        }
    }
}
