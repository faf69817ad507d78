//! kombu's fanout and reply queues on Redis.
//!
//! A fanout exchange is a channel, `/{db}.<exchange>` or
//! `/{db}.<exchange>/<routing key>`; who hears it is not in any key. A reply
//! goes to a list whose name is found in the exchange's binding table.

use std::time::Duration;

use ::redis::{FromRedisValue, PushInfo, PushKind, Value};
use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::RedisBroker;
use super::notice::{decode, encode};
use super::replies::ReplyQueue;
use crate::broker::{Fanout, Notice, Subscription};
use crate::error::Error;
use crate::redis::link::Server;

/// A connection on which nothing is heard for so long is asked whether it is
/// still there.
const PROBE: Duration = Duration::from_secs(5);
/// Pause before a lost connection is opened again.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// kombu's `MIN_BINDING_TTL`.
const BINDING_TTL: Duration = Duration::from_secs(3600);

/// Leaves a message for who listens.
pub(super) fn hand_over(listener: &UnboundedSender<Notice>, payload: &[u8]) {
    match decode(payload) {
        // Nobody listens any more: the end is near.
        Some(notice) => drop(listener.send(notice)),
        None => tracing::warn!("cannot decode a message that is no task; it is dropped"),
    }
}

/// Listens until it is dropped, through any number of connections: `hear` gets
/// each message as it was sent, `subscribed` is told whenever it begins.
pub(super) async fn listen(
    server: Server,
    channel: String,
    subscribed: &Notify,
    hear: impl Fn(Vec<u8>),
) {
    loop {
        if let Err(error) = listen_once(&server, &channel, subscribed, &hear).await {
            tracing::debug!(%error, channel, "subscription lost; subscribing again");
        }
        sleep(PAUSE).await;
    }
}

async fn listen_once(
    server: &Server,
    channel: &str,
    subscribed: &Notify,
    hear: &impl Fn(Vec<u8>),
) -> Result<(), Error> {
    let (sender, mut pushes) = unbounded_channel();
    let mut line = server.open_with_pushes(sender).await?;
    if !line.tells() {
        return listen_by_itself(server, channel, subscribed, hear).await;
    }
    if channel.contains('*') {
        line.psubscribe(channel).await?;
    } else {
        line.subscribe(channel).await?;
    }
    subscribed.notify_one();
    loop {
        match timeout(PROBE, pushes.recv()).await {
            Err(_) => ::redis::cmd("PING").exec_async(&mut line).await?,
            Ok(Some(push)) if push.kind != PushKind::Disconnection => {
                payload(&push).into_iter().for_each(hear);
            }
            Ok(_) => return Ok(()),
        }
    }
}

/// The same where a connection that hears can do nothing else.
async fn listen_by_itself(
    server: &Server,
    channel: &str,
    subscribed: &Notify,
    hear: &impl Fn(Vec<u8>),
) -> Result<(), Error> {
    let (mut asking, mut heard) = server.hear().await?.split();
    match channel.contains('*') {
        true => asking.psubscribe(channel).await?,
        false => asking.subscribe(channel).await?,
    }
    subscribed.notify_one();
    loop {
        match timeout(PROBE, heard.next()).await {
            Err(_) => {
                let answered = timeout(server.patience(), asking.ping::<Value>()).await;
                answered.map_err(|_| Error::Timeout(server.patience()))??;
            }
            Ok(Some(message)) => hear(message.get_payload_bytes().to_vec()),
            Ok(None) => return Ok(()),
        }
    }
}

/// The message, if a push brings one.
fn payload(push: &PushInfo) -> Option<Vec<u8>> {
    let payload = push.data.last().map(Vec::<u8>::from_redis_value_ref)?;
    let message = matches!(push.kind, PushKind::Message | PushKind::PMessage);
    payload.ok().filter(|_| message)
}

#[async_trait]
impl Fanout for RedisBroker {
    async fn broadcast(&self, notices: &[Notice]) -> Result<Option<usize>, Error> {
        let mut pipeline = ::redis::pipe();
        for notice in notices {
            let channel = self.keys.channel(&notice.exchange, &notice.routing_key);
            pipeline.publish(channel, encode(notice)?);
        }
        let heard: Vec<usize> = pipeline.query_async(&mut self.connection()).await?;
        Ok(heard.last().copied())
    }

    async fn subscribe(&self, exchange: &str, routing_key: &str) -> Result<Subscription, Error> {
        let channel = self.keys.channel(exchange, &routing_key.replace('#', "*"));
        let (subscription, listener, end) = Subscription::new();
        let (server, begun) = (self.server.clone(), subscription.begun());
        tokio::spawn(async move {
            let hear = |payload: Vec<u8>| hand_over(&listener, &payload);
            end.run_until_cancelled(listen(server, channel, &begun, hear))
                .await;
        });
        subscription.begun().notified().await;
        Ok(subscription)
    }

    async fn reply(&self, reply: &Notice, expires: Duration) -> Result<(), Error> {
        let (exchange, key) = (&reply.exchange, &reply.routing_key);
        let queues = self.keys.bound_queues(exchange, key, &self.connection);
        let queues = queues.await?;
        if queues.is_empty() {
            // Whoever asked has gone.
            return Ok(());
        }
        let message = encode(reply)?;
        let mut pipeline = ::redis::pipe();
        for queue in queues {
            let key = self.keys.queue(&queue, 0);
            pipeline.lpush(&key, &message).ignore();
            pipeline.pexpire(&key, expires.as_millis() as i64).ignore();
        }
        Ok(pipeline.exec_async(&mut self.connection()).await?)
    }

    async fn replies(
        &self,
        exchange: &str,
        routing_key: &str,
        expires: Duration,
    ) -> Result<Subscription, Error> {
        let name = format!("{routing_key}.{exchange}");
        let [table, _] = self.keys.binding_tables(exchange);
        let queue = ReplyQueue {
            key: self.keys.queue(&name, 0),
            member: self.keys.binding(routing_key, &name),
            table,
            server: self.server.clone(),
            connection: self.connection(),
        };
        let life = (expires * 2).max(BINDING_TTL);
        let deadlines = self.keys.binding_deadlines();
        queue.bind(exchange, &deadlines, life).await?;
        let (subscription, listener, end) = Subscription::new();
        tokio::spawn(queue.serve(listener, end));
        Ok(subscription)
    }
}
