//! The worker's lease, and which of its fetchers may take messages.
//!
//! Each script begins with a command that Redis does even when its memory is
//! full (`PEXPIRE`); what follows in the same script is then done, too. A worker
//! that lives is not taken for dead because there is no room.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::consumer::RedisConsumer;
use super::held::{self, Losses};
use crate::broker::Tag;
use crate::error::Error;

/// Tags in one script; Lua's `unpack` has its bounds.
const CHUNK: usize = 1000;
/// No visibility timeout can be kept that is shorter.
const LEAST: Duration = Duration::from_millis(300);
/// A worker is known for a day, and so is one whose messages others have put back.
const REMEMBERED: u64 = 86_400_000;

/// Renews the lease and the times of delivery. `KEYS`: lease, fetcher, workers,
/// unacked, unacked_index, known. `ARGV`: worker, nodename, milliseconds, the
/// renewal's number, milliseconds for which the worker is known, tags. Answers
/// whether Redis did not know the worker, and the places of the tags that are
/// not in `unacked`.
///
/// `known` has the number of the renewal that found it missing. The number
/// changes once an answer has been heard: a renewal whose answer was lost is
/// answered the same again.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('PEXPIRE', KEYS[1], ARGV[3]) == 1 then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
redis.call('SET', KEYS[6], ARGV[4], 'NX', 'PX', ARGV[5])
redis.call('PEXPIRE', KEYS[6], ARGV[5])
local unknown = redis.call('GET', KEYS[6]) == ARGV[4]
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
local time = redis.call('TIME')
local now, times, gone = string.format('%s.%06d', time[1], time[2]), {}, {}
for i = 6, #ARGV do
  times[#times + 1] = now
  times[#times + 1] = ARGV[i]
end
if #times > 0 and redis.call('ZADD', KEYS[5], 'XX', 'CH', unpack(times)) < #ARGV - 5 then
  for i = 6, #ARGV do
    if redis.call('HEXISTS', KEYS[4], ARGV[i]) == 1 then
      redis.call('ZADD', KEYS[5], now, ARGV[i])
    else
      gone[#gone + 1] = i - 6
    end
  end
end
return {unknown and 1 or 0, gone}
",
    )
});

/// Lets one fetcher alone take messages, if the worker has its lease and no
/// later one may. `KEYS`: lease, fetcher. `ARGV`: the fetcher's number.
static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local left = redis.call('PTTL', KEYS[1])
if left <= 0 then return 0 end
redis.call('PEXPIRE', KEYS[2], left)
if (tonumber(redis.call('GET', KEYS[2])) or -1) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', left)
return 1
",
    )
});

/// Lets no fetcher of a worker without a lease take messages any more. `KEYS`:
/// lease, fetcher. `ARGV`: milliseconds. Answers whether it has no lease.
static CLOSE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('SET', KEYS[2], 'closed', 'PX', ARGV[1])
return 1
",
    )
});

impl RedisConsumer {
    /// Renews the lease and the times of what is held, and learns what is held
    /// no more.
    pub(super) async fn renew(&self) -> Result<(), Error> {
        // One after the other: the second would hide from the first that the
        // lease had ended.
        let mut number = self.own.renewing.lock().await;
        let (doubts, sent) = (self.own.sureness.doubts(), held::now());
        let tags = self.own.held.tags();
        let (mut rest, mut lost, mut gone) = (&*tags, None, Vec::new());
        while lost.is_none() || !rest.is_empty() {
            let (some, others) = rest.split_at(rest.len().min(CHUNK));
            let (unknown, missing) = self.renew_some(*number, some).await?;
            lost.get_or_insert(unknown);
            gone.extend(missing);
            rest = others;
        }
        *number += 1;
        self.give_up(&gone, lost == Some(true));
        let until = sent.saturating_add(self.certain_for().as_millis() as u64);
        self.own.sureness.renew(until, doubts);
        Ok(())
    }

    /// Whether Redis did not know this worker, and which tags it does not have.
    pub(super) async fn renew_some(
        &self,
        number: usize,
        tags: &[Tag],
    ) -> Result<(bool, Vec<Tag>), Error> {
        let (keys, own) = (&self.keys, &self.own);
        let mut call = RENEW.key(keys.lease(&own.worker));
        call.key(keys.fetcher(&own.worker))
            .key(keys.workers())
            .key(keys.unacked())
            .key(keys.unacked_index())
            .key(keys.known(&own.worker));
        call.arg(&own.worker).arg(&own.nodename);
        call.arg(self.lease().as_millis() as u64);
        call.arg(number).arg(REMEMBERED);
        for tag in tags {
            call.arg(&**tag);
        }
        let (unknown, places): (bool, Vec<usize>) =
            call.invoke_async(&mut self.connection()).await?;
        let gone = places.into_iter().filter_map(|place| tags.get(place));
        Ok((unknown, gone.cloned().collect()))
    }

    /// Notes what others have been given. A broker that has lost its data has
    /// given nothing to anybody: what is held exists only here, and runs.
    fn give_up(&self, gone: &[Tag], lost: bool) {
        if gone.is_empty() {
            return;
        }
        if lost {
            tracing::warn!(
                "The broker has lost its data; {} message(s) exist only here, and run.",
                gone.len()
            );
            self.own.held.orphan(gone);
            return;
        }
        let Losses { waiting, running } = self.own.held.give_up(gone);
        if waiting > 0 {
            tracing::warn!(
                "{waiting} message(s) were given to others while this worker was away; they do not run here."
            );
        }
        if running > 0 {
            tracing::warn!(
                "{running} running task(s) were given to others while this worker was away; they run on, and may run twice."
            );
        }
    }

    /// Has Redis obey no fetcher but one that begins now: the number of its
    /// first fetch.
    pub(super) async fn admit(&self) -> Result<usize, Error> {
        let number = self.own.turn();
        for _ in 0..2 {
            let admitted: bool = ADMIT
                .key(self.keys.lease(&self.own.worker))
                .key(self.keys.fetcher(&self.own.worker))
                .arg(number)
                .invoke_async(&mut self.connection())
                .await?;
            if admitted {
                return Ok(number);
            }
            self.renew().await?;
        }
        Err(unleased())
    }

    /// Has Redis obey no fetcher of `worker` any more; `false` if it lives.
    pub(super) async fn close(&self, worker: &str) -> Result<bool, Error> {
        Ok(CLOSE
            .key(self.keys.lease(worker))
            .key(self.keys.fetcher(worker))
            .arg(REMEMBERED)
            .invoke_async(&mut self.connection())
            .await?)
    }

    /// Puts back what is still held and gives up the lease.
    pub(super) async fn retire(&self) -> Result<(), Error> {
        let worker = &self.own.worker;
        // First: a fetch that comes later takes nothing.
        redis::cmd("DEL")
            .arg(self.keys.fetcher(worker))
            .exec_async(&mut self.connection())
            .await?;
        self.put_back_unknown(usize::MAX).await?;
        self.hear_only(&[]).await?;
        self.forget_broadcasts(worker).await?;
        let mut pipeline = redis::pipe();
        pipeline.srem(self.keys.workers(), worker).ignore();
        pipeline.del(self.keys.lease(worker)).ignore();
        pipeline.del(self.keys.known(worker)).ignore();
        Ok(pipeline.exec_async(&mut self.connection()).await?)
    }

    /// How long a lease is.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.options.worker_lease.max(1.0))
    }

    /// How long nobody else is given what this worker holds, after it has
    /// renewed its lease.
    pub(super) fn certain_for(&self) -> Duration {
        let visible = Duration::try_from_secs_f64(self.options.visibility_timeout);
        let visible = visible.unwrap_or(Duration::MAX).max(LEAST);
        self.lease().min(visible)
    }
}

/// A lease that is gone as soon as it is there.
pub(super) fn unleased() -> Error {
    let error = std::io::Error::other("the broker does not keep this worker's lease");
    redis::RedisError::from(error).into()
}
