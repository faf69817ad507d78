//! What becomes of messages that a worker holds.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use redis::{RedisError, Script, make_extension_error};

use super::keys::Keys;
use crate::broker::DeadLetter;
use crate::broker::{Delivery, Tag};
use crate::error::{Error, Fault};
use crate::redis::batcher::Batched;
use crate::redis::link::Connection;
use crate::redis::wire::{Entry, Payload};

/// Put back by one script, at most.
const BATCH: usize = 256;
/// Their bytes, about.
const BYTES: usize = 1 << 20;

/// Reads messages that are held. `KEYS`: unacked. `ARGV`: bytes, tags. Answers
/// the entries of the first of them, until there are so many bytes.
static ENTRIES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local entries, left = {}, tonumber(ARGV[1])
for i = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  entries[i - 1] = entry
  left = left - (entry and #entry or 0)
  if left <= 0 then break end
end
return entries
",
    )
});

/// Puts messages back, those that nobody has settled meanwhile. `KEYS`: unacked,
/// unacked_index, the lease, lists. `ARGV`: `lives` if the lease keeps them, the
/// seconds for which a time of delivery does, or nothing; then for each its tag,
/// the place of its list and the message, which is empty if none is known.
/// Answers how many, or -1 if there is the lease; and why one of them stays, if
/// one does: its list is none, say. What is put comes before what is taken away,
/// for Redis takes nothing back that a script has done.
static PUT_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if ARGV[1] == 'lives' and redis.call('EXISTS', KEYS[3]) == 1 then return {-1, false} end
local kept, back, fault = tonumber(ARGV[1]), 0, false
local since = kept and redis.call('TIME')[1] - kept
for i = 2, #ARGV, 3 do
  local tag, message = ARGV[i], ARGV[i + 2]
  local seen = since and redis.call('ZSCORE', KEYS[2], tag)
  if seen and tonumber(seen) > since then
    -- It has been renewed.
  elseif message == '' then
    if redis.call('HEXISTS', KEYS[1], tag) == 0 then redis.call('ZREM', KEYS[2], tag) end
  elseif redis.call('HEXISTS', KEYS[1], tag) == 1 then
    local list = KEYS[4 + ARGV[i + 1]]
    local put = redis.pcall('RPUSH', list, message)
    if type(put) == 'table' then
      fault = put.err .. ' (' .. list .. ')'
    else
      redis.call('HDEL', KEYS[1], tag)
      redis.call('ZREM', KEYS[2], tag)
      back = back + 1
    end
  end
end
return {back, fault}
",
    )
});

/// Keeps a message that nobody can run. `KEYS`: unacked, unacked_index, refused,
/// dead_letter. `ARGV`: tag, message, letter. If there is no such list, nothing
/// is done.
static BURY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
redis.call('LLEN', KEYS[4])
local held = redis.call('HDEL', KEYS[1], ARGV[1]) + redis.call('LREM', KEYS[3], 1, ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
if held > 0 then redis.call('LPUSH', KEYS[4], ARGV[3]) end
",
    )
});

/// Where messages lie that workers hold.
#[derive(Clone)]
pub(super) struct Unacked {
    pub connection: Connection,
    pub keys: Keys,
}

/// What keeps messages from being put back.
#[derive(Clone, Copy)]
pub(super) enum Unless<'a> {
    /// Nothing.
    Never,
    /// The lease of this worker.
    Lives(&'a str),
    /// Their times of delivery, if they are not so many seconds old.
    Seen(f64),
}

/// What a batch puts back: lists, and for each message its tag, the place of its
/// list and itself.
#[derive(Default)]
struct Batch<'a> {
    lists: Vec<String>,
    messages: Vec<(&'a str, usize, Vec<u8>)>,
}

impl<'a> Batch<'a> {
    fn add(&mut self, tag: &'a str, list: String, message: Vec<u8>) {
        let found = self.lists.iter().position(|known| *known == list);
        let place = found.unwrap_or_else(|| {
            self.lists.push(list);
            self.lists.len() - 1
        });
        self.messages.push((tag, place, message));
    }
}

/// The queues that exchanges and routing keys lead to.
type Routes = HashMap<(String, String), String>;

impl Unacked {
    /// Puts messages at the end of their lists that is read next, as kombu's
    /// `restore_by_tag`, the oldest at the very end. How many; `None` if they
    /// are to stay.
    ///
    /// # Errors
    /// One that does not [pass](Error::passes) if some stay, because their lists
    /// do not take them.
    pub async fn put_back(
        &self,
        tags: &[impl AsRef<str>],
        unless: Unless<'_>,
    ) -> Result<Option<usize>, Error> {
        let mut tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        tags.sort_by_key(|tag| Reverse(age(tag)));
        let (mut rest, mut routes, mut back) = (&*tags, Routes::new(), 0);
        let mut stays = None;
        while !rest.is_empty() {
            let entries = self.entries(rest).await?;
            let (these, others) = rest.split_at(entries.len().clamp(1, rest.len()));
            let batch = self.batch(these, entries, &mut routes).await?;
            match self.put_batch_back(batch, unless).await? {
                (Some(count), fault) => {
                    back += count;
                    stays = stays.or(fault);
                }
                (None, _) => return Ok(None),
            }
            rest = others;
        }
        match stays {
            Some(fault) => Err(refusal(&fault).into()),
            None => Ok(Some(back)),
        }
    }

    /// The entries of the first of these tags.
    async fn entries(&self, tags: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut call = ENTRIES.key(self.keys.unacked());
        call.arg(BYTES).arg(tags.get(..BATCH).unwrap_or(tags));
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    async fn batch<'a>(
        &self,
        tags: &[&'a str],
        entries: Vec<Option<Vec<u8>>>,
        routes: &mut Routes,
    ) -> Result<Batch<'a>, Error> {
        let mut batch = Batch::default();
        for (tag, entry) in tags.iter().zip(entries) {
            let Some(entry) = entry else {
                batch.messages.push((tag, 0, Vec::new()));
                continue;
            };
            match Entry::redelivered(&entry) {
                Ok(entry) => {
                    let (exchange, routing_key) = (entry.exchange, entry.routing_key);
                    let queue = self.route(exchange, routing_key, routes).await?;
                    let list = self.keys.queue(&queue, entry.priority);
                    batch.add(tag, list, entry.message);
                }
                Err(error) => {
                    let delivery = Delivery {
                        tag: Tag::from(*tag),
                        queue: "".into(),
                        content: Arc::new(Payload(entry)),
                    };
                    let reason = format!("cannot restore the message: {error}");
                    self.bury(&delivery, &reason).await?;
                }
            }
        }
        Ok(batch)
    }

    async fn put_batch_back(
        &self,
        batch: Batch<'_>,
        unless: Unless<'_>,
    ) -> Result<(Option<usize>, Option<String>), Error> {
        let (lease, kept) = match unless {
            Unless::Never => (self.keys.lease(""), String::new()),
            Unless::Lives(worker) => (self.keys.lease(worker), "lives".to_owned()),
            Unless::Seen(seconds) => (self.keys.lease(""), seconds.to_string()),
        };
        let mut call = PUT_BACK.key(self.keys.unacked());
        call.key(self.keys.unacked_index()).key(lease);
        call.arg(kept);
        for list in &batch.lists {
            call.key(list);
        }
        for (tag, place, message) in &batch.messages {
            call.arg(tag).arg(place).arg(message);
        }
        let (back, fault): (i64, Option<String>) =
            call.invoke_async(&mut self.connection.clone()).await?;
        Ok((usize::try_from(back).ok(), fault))
    }

    /// The queue that an exchange routes a key to. Entries of Celeriac's own
    /// name the queue on the default exchange.
    async fn route(
        &self,
        exchange: String,
        routing_key: String,
        routes: &mut Routes,
    ) -> Result<String, Error> {
        if exchange.is_empty() {
            return Ok(routing_key);
        }
        let address = (exchange, routing_key);
        if let Some(queue) = routes.get(&address) {
            return Ok(queue.clone());
        }
        let (exchange, routing_key) = &address;
        let queues = self
            .keys
            .bound_queues(exchange, routing_key, &self.connection);
        let queue = queues.await?.into_iter().next();
        let queue = queue.unwrap_or_else(|| routing_key.clone());
        routes.insert(address, queue.clone());
        Ok(queue)
    }

    /// Keeps a message that nobody can run, and settles its delivery.
    pub async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), Error> {
        let letter = serde_json::to_string(&DeadLetter::new(delivery, reason))?;
        Ok(BURY
            .key(self.keys.unacked())
            .key(self.keys.unacked_index())
            .key(self.keys.refused())
            .key(self.keys.dead_letter())
            .arg(&*delivery.tag)
            .arg(&*delivery.content.bytes())
            .arg(letter)
            .invoke_async(&mut self.connection.clone())
            .await?)
    }
}

/// Messages of this worker's that go back.
#[async_trait]
impl Batched for Unacked {
    type Request = Tag;
    type Answer = ();

    async fn perform(&self, tags: &[Tag]) -> Result<Vec<()>, Fault> {
        match self.put_back(tags, Unless::Never).await {
            Ok(_) => Ok(vec![(); tags.len()]),
            Err(Error::Connection(fault)) => Err(fault),
            Err(error) => Err(std::io::Error::other(error).into()),
        }
    }
}

/// What Redis answered within a script.
fn refusal(fault: &str) -> RedisError {
    let (code, words) = fault.split_once(' ').unwrap_or((fault, ""));
    make_extension_error(code.to_owned(), Some(words.to_owned()))
}

/// The numbers in a tag of Celeriac's, by which those of one worker are in
/// order; others have none.
pub(super) fn age(tag: &str) -> Option<(u64, u64)> {
    let (_, numbers) = tag.split_once(':')?;
    let (turn, place) = numbers.split_once('-')?;
    Some((turn.parse().ok()?, place.parse().ok()?))
}
