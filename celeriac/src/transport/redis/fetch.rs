//! Taking messages without polling and without a window of loss.
//!
//! A script pops a batch and enters it in `unacked` in one step. When there is
//! nothing, the lists' lengths are read on a connection that Redis tracks
//! (`CLIENT TRACKING`): whoever pushes to one of them makes Redis tell us.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use redis::{PushInfo, PushKind, Script};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::keys::Keys;
use super::{Delivery, Own, RedisTransport};
use crate::error::Error;
use crate::redis_link::Line;

/// Most messages that one script takes; Lua's `unpack` has its bounds.
const BATCH: usize = 256;

/// `KEYS`: unacked, unacked_index, refused, then the lists in order.
/// `ARGV`: how many, the time, the tags' beginning, then each list's queue as a
/// JSON string. Answers a triple of tag, place of the list and message for each.
///
/// What by its ends is no JSON object waits for its dead letter in a list of
/// its own: in `unacked` it would break the restore of Python workers.
const TAKE: &str = r#"
local left, out, entries, index, n = tonumber(ARGV[1]), {}, {}, {}, 0
for i = 4, #KEYS do
  if left <= 0 then break end
  local items = redis.call('RPOP', KEYS[i], left)
  if items then
    for _, item in ipairs(items) do
      left = left - 1
      n = n + 1
      local tag = ARGV[3] .. n
      if string.byte(item, 1) == 123 and string.byte(item, -1) == 125 then
        entries[#entries + 1] = tag
        entries[#entries + 1] = '[' .. item .. ', "", ' .. ARGV[i] .. ']'
        index[#index + 1] = ARGV[2]
        index[#index + 1] = tag
      else
        redis.call('LPUSH', KEYS[3], item)
      end
      out[#out + 1] = {tag, i - 4, item}
    end
  end
end
if #index > 0 then
  redis.call('HSET', KEYS[1], unpack(entries))
  redis.call('ZADD', KEYS[2], unpack(index))
end
return out
"#;

/// The connection that takes messages.
pub(super) struct Fetcher {
    connection: Line,
    /// What Redis tells without being asked.
    pushes: UnboundedReceiver<PushInfo>,
    keys: Keys,
    own: Arc<Own>,
    script: Script,
}

impl Fetcher {
    pub async fn connect(transport: &RedisTransport) -> Result<Self, Error> {
        let (sender, pushes) = unbounded_channel();
        let mut connection = transport.server.open_with_pushes(sender).await?;
        redis::cmd("CLIENT")
            .arg(&["TRACKING", "ON"])
            .exec_async(&mut connection)
            .await?;
        Ok(Self {
            connection,
            pushes,
            keys: transport.keys.clone(),
            own: Arc::clone(&transport.own),
            script: Script::new(TAKE),
        })
    }

    /// As [`Transport::fetch`](crate::transport::Transport::fetch).
    pub async fn fetch(
        &mut self,
        queues: &[Arc<str>],
        max: usize,
        patience: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let deliveries = self.take(queues, max.min(BATCH)).await?;
            if !deliveries.is_empty() || Instant::now() >= deadline {
                return Ok(deliveries);
            }
            if self.watch(queues).await? {
                self.wait(deadline).await?;
            }
        }
    }

    async fn take(&mut self, queues: &[Arc<str>], max: usize) -> Result<Vec<Delivery>, Error> {
        let turn = self.own.turn();
        let lists = self.keys.lists(queues, turn);
        let mut call = self.script.prepare_invoke();
        call.key(self.keys.unacked())
            .key(self.keys.unacked_index())
            .key(self.keys.refused());
        call.arg(max)
            .arg(Utc::now().timestamp_micros() as f64 / 1e6)
            .arg(format!("{}:{turn}-", self.own.worker));
        for (key, place) in &lists {
            let queue = queues.get(*place).map_or("", |queue| queue.as_ref());
            call.key(key).arg(serde_json::to_string(queue)?);
        }
        let taken: Vec<(String, usize, Vec<u8>)> = call.invoke_async(&mut self.connection).await?;
        let delivery = |(tag, list, payload): (String, usize, Vec<u8>)| {
            let (_, place) = lists.get(list)?;
            Some(Delivery {
                tag: tag.into(),
                queue: Arc::clone(queues.get(*place)?),
                payload,
            })
        };
        Ok(taken.into_iter().filter_map(delivery).collect())
    }

    /// Has Redis watch the lists; `false` if there is something in one already.
    async fn watch(&mut self, queues: &[Arc<str>]) -> Result<bool, Error> {
        // What was told before was about what has been taken since.
        while self.pushes.try_recv().is_ok() {}
        let mut pipeline = redis::pipe();
        for (key, _) in self.keys.lists(queues, 0) {
            pipeline.llen(key);
        }
        let lengths: Vec<usize> = pipeline.query_async(&mut self.connection).await?;
        Ok(lengths.iter().all(|&length| length == 0))
    }

    /// Waits until Redis tells of a change, or the deadline.
    async fn wait(&mut self, deadline: Instant) -> Result<(), Error> {
        loop {
            match timeout_at(deadline, self.pushes.recv()).await {
                Err(_) => return Ok(()),
                Ok(Some(push)) if push.kind == PushKind::Invalidate => return Ok(()),
                Ok(Some(push)) if push.kind != PushKind::Disconnection => {}
                Ok(_) => {
                    let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    return Err(redis::RedisError::from(lost).into());
                }
            }
        }
    }
}
