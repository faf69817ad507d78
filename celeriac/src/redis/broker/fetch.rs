//! Taking messages without polling and without a window of loss.
//!
//! A script pops a batch and enters it in `unacked` in one step. When there is
//! nothing, the lists are looked at on a connection that Redis tracks
//! (`CLIENT TRACKING`): whoever pushes to one of them makes Redis tell us. A
//! server that does not is asked again and again.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;
use tokio::time::Instant;

use super::consumer::{Own, RedisConsumer};
use super::keys::Keys;
use super::watch::Watch;
use crate::broker::Delivery;
use crate::error::Error;
use crate::redis::wire::Payload;

/// Most messages that one script takes; Lua's `unpack` has its bounds.
const BATCH: usize = 256;

/// `KEYS`: fetcher, unacked, unacked_index, refused, then the lists in order.
/// `ARGV`: the fetcher's number, how many, the tags' beginning, then each list's
/// queue as a JSON string. Answers how many each list gave, and the
/// messages, whose tags count from 1; nothing if this fetcher may not take messages (any more).
///
/// No further message is taken once there is a megabyte: on a slow link what has
/// been taken can run while the rest comes.
///
/// What by its ends is no JSON object waits for its dead letter in a list of
/// its own: in `unacked` it would break the restore of Python workers. `GETEX`
/// reads as `GET` does, but has Redis track nothing.
///
/// Redis takes nothing back that a script has done. So what cannot be entered,
/// into a key of another kind or for want of a permission, goes back here, and
/// the error names the key.
const TAKE: &str = r#"
if redis.call('GETEX', KEYS[1]) ~= ARGV[1] then return false end
local left, taken, from, counts = tonumber(ARGV[2]), {}, {}, {}
local entries, index, refused = {}, {}, {}
local time = redis.call('TIME')
local now = string.format('%s.%06d', time[1], time[2])
local room = 1048576
local function give_back(fault, key)
  for i = #taken, 1, -1 do redis.call('RPUSH', from[i], taken[i]) end
  return {err = fault.err .. ' (' .. key .. ')'}
end
for i = 5, #KEYS do
  local before = #taken
  while left > 0 and room > 0 do
    local item = redis.pcall('RPOP', KEYS[i])
    if type(item) == 'table' then return give_back(item, KEYS[i]) end
    if not item then break end
    left = left - 1
    room = room - #item
    taken[#taken + 1] = item
    from[#taken] = KEYS[i]
    local tag = ARGV[3] .. #taken
    if string.byte(item, 1) == 123 and string.byte(item, -1) == 125 then
      entries[#entries + 1] = tag
      entries[#entries + 1] = '[' .. item .. ', "", ' .. ARGV[i - 1] .. ']'
      index[#index + 1] = now
      index[#index + 1] = tag
    else
      refused[#refused + 1] = item
    end
  end
  counts[#counts + 1] = #taken - before
end
if #refused > 0 then
  local put = redis.pcall('LPUSH', KEYS[4], unpack(refused))
  if type(put) == 'table' then return give_back(put, KEYS[4]) end
end
if #index > 0 then
  local put, key = redis.pcall('HSET', KEYS[2], unpack(entries)), KEYS[2]
  if type(put) ~= 'table' then
    put, key = redis.pcall('ZADD', KEYS[3], unpack(index)), KEYS[3]
    if type(put) == 'table' then
      for i = 2, #index, 2 do redis.call('HDEL', KEYS[2], index[i]) end
    end
  end
  if type(put) == 'table' then
    for _, item in ipairs(refused) do redis.call('LREM', KEYS[4], 1, item) end
    return give_back(put, key)
  end
end
return {counts, taken}
"#;

/// The connection that takes messages.
pub(super) struct Fetcher {
    watch: Watch,
    keys: Keys,
    own: Arc<Own>,
    script: Script,
    /// By which Redis knows it.
    number: usize,
    /// The queues that were empty and are watched.
    watched: Vec<Arc<str>>,
}

/// What a fetch has brought.
pub(super) enum Fetched {
    /// These messages. `proven`: until then, on [`held::now`]'s clock, it was
    /// sure that others are not given them.
    Taken {
        deliveries: Vec<Delivery>,
        proven: u64,
    },
    /// Redis does not obey this fetcher.
    Refused,
}

impl Fetcher {
    pub async fn connect(consumer: &RedisConsumer) -> Result<Self, Error> {
        Ok(Self {
            watch: Watch::open(&consumer.server).await?,
            keys: consumer.keys.clone(),
            own: Arc::clone(&consumer.own),
            script: Script::new(TAKE),
            number: 0,
            watched: Vec::new(),
        })
    }

    /// Redis knows it by this number from now on.
    pub fn admitted(&mut self, number: usize) {
        self.number = number;
    }

    /// As [`Consumer::next`](crate::broker::Consumer::next).
    pub async fn fetch(
        &mut self,
        queues: &[Arc<str>],
        max: usize,
        patience: Duration,
    ) -> Result<Fetched, Error> {
        let deadline = Instant::now() + patience;
        // Where nothing was and nothing was told of is looked at, no more.
        let mut empty = self.watched == queues && self.watch(queues).await?;
        loop {
            if empty && !self.watch.wait(deadline).await? {
                return Ok(Fetched::nothing());
            }
            self.watched.clear();
            match self.take(queues, max.min(BATCH)).await? {
                Fetched::Taken { deliveries, .. } if deliveries.is_empty() => {}
                fetched => {
                    self.watch.hasten();
                    return Ok(fetched);
                }
            }
            if Instant::now() >= deadline {
                return Ok(Fetched::nothing());
            }
            // Who is not told asks again after a pause.
            empty = !self.watch.is_told() || self.watch(queues).await?;
        }
    }

    async fn take(&mut self, queues: &[Arc<str>], max: usize) -> Result<Fetched, Error> {
        let turn = self.own.turn();
        self.take_in(turn, queues, max).await
    }

    /// Takes messages in this turn, which no other fetch has.
    pub(super) async fn take_in(
        &mut self,
        turn: usize,
        queues: &[Arc<str>],
        max: usize,
    ) -> Result<Fetched, Error> {
        let lists = self.keys.lists(queues, turn);
        let mut call = self.script.prepare_invoke();
        call.key(self.keys.fetcher(&self.own.worker))
            .key(self.keys.unacked())
            .key(self.keys.unacked_index())
            .key(self.keys.refused());
        let tags = format!("{}:{turn}-", self.own.worker);
        call.arg(self.number).arg(max).arg(&tags);
        for (key, place) in &lists {
            let queue = queues.get(*place).map_or("", |queue| queue.as_ref());
            call.key(key).arg(serde_json::to_string(queue)?);
        }
        let proven = self.own.sureness.until();
        let taken: Option<(Vec<usize>, Vec<Vec<u8>>)> =
            call.invoke_async(self.watch.line()).await?;
        let Some((counts, taken)) = taken else {
            return Ok(Fetched::Refused);
        };
        let from = lists.iter().zip(counts);
        let from = from.flat_map(|((_, place), count)| std::iter::repeat_n(*place, count));
        let delivery = |((number, payload), place): ((usize, Vec<u8>), usize)| {
            Some(Delivery {
                tag: format!("{tags}{number}").into(),
                queue: Arc::clone(queues.get(place)?),
                content: Arc::new(Payload(payload)),
            })
        };
        let numbered = (1..).zip(taken);
        let deliveries = numbered.zip(from).filter_map(delivery).collect();
        Ok(Fetched::Taken { deliveries, proven })
    }

    /// Has Redis watch the lists; `false` if there is something in one already,
    /// or Redis does not obey this fetcher any more.
    async fn watch(&mut self, queues: &[Arc<str>]) -> Result<bool, Error> {
        // What was told before was about what has been taken since.
        self.watch.forget();
        let mut look = redis::cmd("EXISTS");
        for (key, _) in self.keys.lists(queues, 0) {
            look.arg(key);
        }
        let mut pipeline = redis::pipe();
        // Only a server that takes writes answers this.
        pipeline
            .cmd("GETEX")
            .arg(self.keys.fetcher(&self.own.worker));
        pipeline.add_command(look);
        // A list that is empty is not there.
        let (fetcher, filled): (Option<String>, usize) =
            pipeline.query_async(self.watch.line()).await?;
        if fetcher.is_none_or(|fetcher| fetcher != self.number.to_string()) {
            return Ok(false);
        }
        self.watched = match filled {
            0 => queues.to_vec(),
            _ => Vec::new(),
        };
        Ok(filled == 0)
    }
}

impl Fetched {
    fn nothing() -> Self {
        Self::Taken {
            deliveries: Vec::new(),
            proven: u64::MAX,
        }
    }
}
