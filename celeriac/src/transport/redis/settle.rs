//! What becomes of a message that this worker holds.

use chrono::Utc;
use redis::{AsyncCommands, Script};

use super::{Delivery, RedisTransport, Tag};
use crate::error::Error;
use crate::message::{Envelope, json};

/// Puts a message back, if nobody has settled it meanwhile. `KEYS`: unacked,
/// unacked_index, the list. `ARGV`: tag, message.
const PUT_BACK: &str = r"
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('RPUSH', KEYS[3], ARGV[2])
end
";

impl RedisTransport {
    /// Puts a held message at the end of its list that is read next, as
    /// kombu's `restore_by_tag`.
    pub(super) async fn restore(&self, tag: &str) -> Result<(), Error> {
        let entry: Option<Vec<u8>> = self.connection().hget(self.keys.unacked(), tag).await?;
        let Some(entry) = entry else {
            return Ok(self
                .connection()
                .zrem(self.keys.unacked_index(), tag)
                .await?);
        };
        match json::from_slice::<(Envelope, String, String)>(&entry) {
            Ok((envelope, exchange, routing_key)) => {
                self.put_back(tag, envelope, &exchange, &routing_key).await
            }
            Err(error) => {
                let delivery = Delivery {
                    tag: tag.into(),
                    queue: "".into(),
                    payload: entry,
                };
                self.bury(&delivery, &format!("cannot restore the message: {error}"))
                    .await
            }
        }
    }

    async fn put_back(
        &self,
        tag: &str,
        mut envelope: Envelope,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Error> {
        envelope.mark_redelivered();
        let queue = self.route(exchange, routing_key).await?;
        let priority = envelope.properties.priority.unwrap_or(0);
        Script::new(PUT_BACK)
            .key(self.keys.unacked())
            .key(self.keys.unacked_index())
            .key(self.keys.queue(&queue, priority))
            .arg(tag)
            .arg(envelope.encode()?)
            .invoke_async::<()>(&mut self.connection())
            .await?;
        Ok(())
    }

    /// The queue that an exchange routes a key to. Entries of Celeriac's own
    /// name the queue on the default exchange.
    async fn route(&self, exchange: &str, routing_key: &str) -> Result<String, Error> {
        if exchange.is_empty() {
            return Ok(routing_key.to_owned());
        }
        let queues = self
            .keys
            .bound_queues(exchange, routing_key, &self.connection);
        let queue = queues.await?.into_iter().next();
        Ok(queue.unwrap_or_else(|| routing_key.to_owned()))
    }

    /// Keeps what is held from being delivered again elsewhere: its time of
    /// delivery becomes now.
    pub(super) async fn touch(&self) -> Result<(), Error> {
        let held: Vec<Tag> = self.own.held.tags().iter().cloned().collect();
        if held.is_empty() {
            return Ok(());
        }
        let now = Utc::now().timestamp_micros() as f64 / 1e6;
        let mut command = redis::cmd("ZADD");
        command.arg(self.keys.unacked_index()).arg("XX");
        for tag in &held {
            command.arg(now).arg(&**tag);
        }
        Ok(command.exec_async(&mut self.connection()).await?)
    }
}
