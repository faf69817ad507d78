//! kombu's fanout and reply queues on Redis.
//!
//! A fanout exchange is a channel, `/{db}.<exchange>` or
//! `/{db}.<exchange>/<routing key>`; who hears it is not in any key. A reply
//! goes to a list whose name is found in the exchange's binding table.

use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{AsyncCommands, Client, FromRedisValue, PushInfo, PushKind, Script};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::RedisTransport;
use crate::error::Error;
use crate::redis_link;
use crate::transport::{Fanout, Notice, Subscription};

/// A connection on which nothing is heard for so long is asked whether it is
/// still there.
const PROBE: Duration = Duration::from_secs(5);
/// Pause before a lost connection is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one blocking read of a reply list lasts; shorter than the
/// connection's response time-out.
const BLOCK: f64 = 1.0;
/// kombu's `MIN_BINDING_TTL`.
const BINDING_TTL: Duration = Duration::from_secs(3600);

/// As kombu 5.7's `REFRESH_BINDING`. `KEYS`: table, deadlines. `ARGV`: member,
/// exchange, milliseconds to live.
const BIND: &str = r"
redis.call('SADD', KEYS[1], ARGV[1])
local now = redis.call('TIME')
local due = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('ZADD', KEYS[2], 'GT', due, ARGV[2])
";

/// A notice as kombu writes it (`virtual.Channel.prepare_message`).
#[derive(Serialize, Deserialize)]
struct Wire {
    body: String,
    #[serde(rename = "content-encoding", default)]
    content_encoding: Option<String>,
    #[serde(rename = "content-type", default)]
    content_type: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    properties: WireProperties,
}

#[derive(Serialize, Deserialize)]
struct WireProperties {
    #[serde(default)]
    delivery_mode: u8,
    delivery_info: Address,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    body_encoding: Option<String>,
    #[serde(default)]
    delivery_tag: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Address {
    exchange: String,
    #[serde(default)]
    routing_key: Option<String>,
}

fn encode(notice: &Notice) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Wire {
        body: BASE64_STANDARD.encode(&notice.body),
        content_encoding: Some("utf-8".to_owned()),
        content_type: Some("application/json".to_owned()),
        headers: notice.headers.clone(),
        properties: WireProperties {
            delivery_mode: 1,
            delivery_info: Address {
                exchange: notice.exchange.clone(),
                routing_key: Some(notice.routing_key.clone()),
            },
            priority: Some(0),
            body_encoding: Some("base64".to_owned()),
            delivery_tag: Some(Uuid::new_v4().to_string().into()),
        },
    })
}

/// `None`: it is not JSON in JSON, and not for us.
fn decode(payload: &[u8]) -> Option<Notice> {
    let wire: Wire = serde_json::from_slice(payload).ok()?;
    if wire
        .content_type
        .is_some_and(|kind| kind != "application/json")
    {
        return None;
    }
    let body = match wire.properties.body_encoding.as_deref() {
        Some("base64") => BASE64_STANDARD.decode(&wire.body).ok()?,
        _ => wire.body.into_bytes(),
    };
    let Address {
        exchange,
        routing_key,
    } = wire.properties.delivery_info;
    Some(Notice {
        exchange,
        routing_key: routing_key.unwrap_or_default(),
        headers: wire.headers,
        body,
    })
}

fn hand_over(listener: &UnboundedSender<Notice>, payload: &[u8]) {
    match decode(payload) {
        // Nobody listens any more: the end is near.
        Some(notice) => drop(listener.send(notice)),
        None => tracing::warn!("cannot decode a message that is no task; it is dropped"),
    }
}

/// Listens until nobody wants to hear, through any number of connections.
async fn listen(client: Client, channel: String, listener: UnboundedSender<Notice>) {
    loop {
        if let Err(error) = listen_once(&client, &channel, &listener).await {
            tracing::debug!(%error, channel, "subscription lost; subscribing again");
        }
        sleep(PAUSE).await;
    }
}

async fn listen_once(
    client: &Client,
    channel: &str,
    listener: &UnboundedSender<Notice>,
) -> Result<(), Error> {
    let (sender, mut pushes) = unbounded_channel();
    let config = redis_link::plain().set_push_sender(sender);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    if channel.contains('*') {
        connection.psubscribe(channel).await?;
    } else {
        connection.subscribe(channel).await?;
    }
    loop {
        match timeout(PROBE, pushes.recv()).await {
            Err(_) => ::redis::cmd("PING").exec_async(&mut connection).await?,
            Ok(Some(push)) if push.kind != PushKind::Disconnection => heard(listener, &push),
            Ok(_) => return Ok(()),
        }
    }
}

fn heard(listener: &UnboundedSender<Notice>, push: &PushInfo) {
    if !matches!(push.kind, PushKind::Message | PushKind::PMessage) {
        return;
    }
    let payload = push.data.last().map(Vec::<u8>::from_redis_value_ref);
    if let Some(Ok(payload)) = payload {
        hand_over(listener, &payload);
    }
}

/// A list of replies that is being read.
struct ReplyQueue {
    key: String,
    table: String,
    member: String,
    client: Client,
    /// Of the transport; outlives the one that reads.
    connection: ConnectionManager,
}

impl ReplyQueue {
    /// Reads replies until nobody wants them, and removes the list then.
    async fn serve(mut self, listener: UnboundedSender<Notice>, end: CancellationToken) {
        end.run_until_cancelled(self.read(&listener)).await;
        let mut pipeline = ::redis::pipe();
        pipeline.srem(&self.table, &self.member).ignore();
        pipeline.del(&self.key).ignore();
        if let Err(error) = pipeline.exec_async(&mut self.connection).await {
            tracing::debug!(%error, "cannot remove a reply queue; it expires");
        }
    }

    async fn read(&self, listener: &UnboundedSender<Notice>) {
        while let Err(error) = self.read_on_one_connection(listener).await {
            tracing::debug!(%error, "cannot read replies; trying again");
            sleep(PAUSE).await;
        }
    }

    async fn read_on_one_connection(
        &self,
        listener: &UnboundedSender<Notice>,
    ) -> Result<(), Error> {
        let config = redis_link::plain();
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        loop {
            let reply: Option<(String, Vec<u8>)> = connection.brpop(&self.key, BLOCK).await?;
            if let Some((_, payload)) = reply {
                hand_over(listener, &payload);
            }
        }
    }
}

#[async_trait]
impl Fanout for RedisTransport {
    async fn broadcast(&self, notices: &[Notice]) -> Result<Option<usize>, Error> {
        let mut pipeline = ::redis::pipe();
        for notice in notices {
            let channel = self.channel(&notice.exchange, &notice.routing_key);
            pipeline.publish(channel, encode(notice)?);
        }
        let heard: Vec<usize> = pipeline.query_async(&mut self.connection()).await?;
        Ok(heard.last().copied())
    }

    fn subscribe(&self, exchange: &str, routing_key: &str) -> Subscription {
        let channel = self.channel(exchange, &routing_key.replace('#', "*"));
        let (subscription, listener, end) = Subscription::new();
        let client = self.client.clone();
        tokio::spawn(async move {
            end.run_until_cancelled(listen(client, channel, listener))
                .await;
        });
        subscription
    }

    async fn reply(&self, reply: &Notice, expires: Duration) -> Result<(), Error> {
        let [table, _] = self.keys.binding_tables(&reply.exchange);
        let members: Vec<String> = self.connection().smembers(table).await?;
        let queues = members
            .iter()
            .filter_map(|member| self.keys.bound_queue(member, &reply.routing_key));
        let message = encode(reply)?;
        let mut pipeline = ::redis::pipe();
        for queue in queues {
            let key = self.keys.queue(queue, 0);
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
            client: self.client.clone(),
            connection: self.connection(),
        };
        Script::new(BIND)
            .key(&queue.table)
            .key(self.keys.binding_deadlines())
            .arg(&queue.member)
            .arg(exchange)
            .arg((expires * 2).max(BINDING_TTL).as_millis() as u64)
            .invoke_async::<()>(&mut self.connection())
            .await?;
        let (subscription, listener, end) = Subscription::new();
        tokio::spawn(queue.serve(listener, end));
        Ok(subscription)
    }
}

impl RedisTransport {
    /// As kombu's `_get_publish_topic`.
    fn channel(&self, exchange: &str, routing_key: &str) -> String {
        let database = self.client.get_connection_info().redis_settings().db();
        self.keys.channel(database, exchange, routing_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Celery 5.7 publishes it.
    const FROM_PYTHON: &str = r#"{"body": "eyJ0eXBlIjogIndvcmtlci1vbmxpbmUifQ==", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"hostname": "a@b"}, "properties": {"delivery_mode": 1, "delivery_info": {"exchange": "celeryev", "routing_key": "worker.online"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "d"}}"#;

    #[test]
    fn writes_what_python_writes() -> Result<(), Box<dyn std::error::Error>> {
        let notice = decode(FROM_PYTHON.as_bytes()).ok_or("not decoded")?;
        assert_eq!(notice.routing_key, "worker.online");
        assert_eq!(notice.body, br#"{"type": "worker-online"}"#);
        let mut written: Value = serde_json::from_slice(&encode(&notice)?)?;
        written["properties"]["delivery_tag"] = "d".into();
        assert_eq!(written, serde_json::from_str::<Value>(FROM_PYTHON)?);
        Ok(())
    }

    #[test]
    fn pickled_notices_are_not_read() {
        let pickled = FROM_PYTHON.replace("application/json", "application/x-python-serialize");
        assert_eq!(decode(pickled.as_bytes()), None);
    }
}
