//! Taking messages without polling and without a window of loss.
//!
//! A script pops a batch and enters it in `unacked` in one step. When there is
//! nothing, the lists' lengths are read on a connection that Redis tracks
//! (`CLIENT TRACKING`): whoever pushes to one of them makes Redis tell us. A
//! server that does not is asked again and again.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use redis::Script;
use tokio::time::Instant;

use super::keys::Keys;
use super::watch::Watch;
use super::{Delivery, Own, RedisTransport};
use crate::error::Error;

/// Most messages that one script takes; Lua's `unpack` has its bounds.
const BATCH: usize = 256;
/// `KEYS`: unacked, unacked_index, refused, then the lists in order.
/// `ARGV`: how many, the time, the tags' beginning, then each list's queue as a
/// JSON string. Answers a triple of tag, place of the list and message for each.
///
/// No further message is taken once there is a megabyte: on a slow link what has
/// been taken can run while the rest comes.
///
/// What by its ends is no JSON object waits for its dead letter in a list of
/// its own: in `unacked` it would break the restore of Python workers.
const TAKE: &str = r#"
local left, out, entries, index, n = tonumber(ARGV[1]), {}, {}, {}, 0
local room = 1048576
for i = 4, #KEYS do
  while left > 0 and room > 0 do
    local item = redis.call('RPOP', KEYS[i])
    if not item then break end
    left = left - 1
    room = room - #item
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
if #index > 0 then
  redis.call('HSET', KEYS[1], unpack(entries))
  redis.call('ZADD', KEYS[2], unpack(index))
end
return out
"#;

/// The connection that takes messages.
pub(super) struct Fetcher {
    watch: Watch,
    keys: Keys,
    own: Arc<Own>,
    script: Script,
}

impl Fetcher {
    pub async fn connect(transport: &RedisTransport) -> Result<Self, Error> {
        Ok(Self {
            watch: Watch::open(&transport.server).await?,
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
            if !deliveries.is_empty() {
                self.watch.hasten();
            }
            if !deliveries.is_empty() || Instant::now() >= deadline {
                return Ok(deliveries);
            }
            if !self.watch.is_told() || self.watch(queues).await? {
                self.watch.wait(deadline).await?;
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
        let taken: Vec<(String, usize, Vec<u8>)> = call.invoke_async(self.watch.line()).await?;
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
        self.watch.forget();
        let mut pipeline = redis::pipe();
        for (key, _) in self.keys.lists(queues, 0) {
            pipeline.llen(key);
        }
        let lengths: Vec<usize> = pipeline.query_async(self.watch.line()).await?;
        Ok(lengths.iter().all(|&length| length == 0))
    }
}
