//! Messages of workers that died, and of fetchers that were given up.
//!
//! kombu waits for the visibility timeout, an hour unless set. A Celeriac
//! worker also holds a lease, a key that expires soon unless renewed and says
//! its nodename, and its name is in the set of workers. Who finds a name without a lease puts that
//! worker's messages back. Python workers neither see nor need any of it, and
//! what they held is put back after the visibility timeout, as they do it.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use redis::{AsyncCommands, Script};

use super::consumer::RedisConsumer;
use super::keys::Keys;
use super::settle::{Unless, age};
use crate::error::Error;
use crate::redis::link::Connection;

/// kombu's `unacked_mutex_expire`, seconds.
const MUTEX_EXPIRE: u64 = 300;
/// Restored at once, at most: the rest comes with the next round.
const ROUND: usize = 1000;
/// Tags that one step of a scan looks at.
const STEP: usize = 1000;

/// What nobody has renewed for the visibility timeout. `KEYS`: unacked_index.
/// `ARGV`: seconds, how many at most.
static OVERDUE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local since = redis.call('TIME')[1] - ARGV[1]
return redis.call('ZRANGEBYSCORE', KEYS[1], 0, since, 'LIMIT', 0, ARGV[2])
",
    )
});

/// Forgets a worker, if it has no lease. `KEYS`: lease, workers. `ARGV`: worker.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
",
    )
});

impl RedisConsumer {
    /// Puts back what dead workers held, what nobody has refreshed for the
    /// visibility timeout, and what a fetcher took that was given up.
    pub(super) async fn bring_back(&self) -> Result<(), Error> {
        self.sweep().await?;
        // None, until this round is over: one that fails does not count.
        let mut suspects = self.own.suspects.lock().await;
        let before = suspects.take();
        let leaseless = self.leaseless().await?;
        // Only what is so twice in a row: after Redis was away, the living need
        // a moment to renew.
        if let Some(before) = before {
            for worker in leaseless.intersection(&before) {
                or_stay(self.inherit(worker).await)?;
            }
            or_stay(self.restore_overdue().await)?;
        }
        *suspects = Some(leaseless);
        Ok(())
    }

    /// Workers that have no lease, though they could renew it: an error if Redis
    /// takes no writes. This one renews its own.
    pub(super) async fn leaseless(&self) -> Result<HashSet<String>, Error> {
        // Reads, and is a write to Redis.
        let mut look = redis::cmd("GETEX");
        look.arg(self.keys.lease(&self.own.worker));
        look.exec_async(&mut self.connection()).await?;
        let leases = self.keys.leases(&self.connection).await?.into_iter();
        Ok(leases
            .filter(|(worker, node)| node.is_none() && *worker != self.own.worker)
            .map(|(worker, _)| worker)
            .collect())
    }

    /// Puts back all that a dead worker held, unless it lives after all.
    pub(super) async fn inherit(&self, worker: &str) -> Result<(), Error> {
        if !self.close(worker).await? {
            return Ok(());
        }
        let tags = self.tags_of(worker).await?;
        let Some(count) = self.unacked.put_back(&tags, Unless::Lives(worker)).await? else {
            return Ok(());
        };
        say_restored(worker, count);
        self.forget_broadcasts(worker).await?;
        Ok(FORGET
            .key(self.keys.lease(worker))
            .key(self.keys.workers())
            .arg(worker)
            .invoke_async(&mut self.connection())
            .await?)
    }

    /// Puts back what a fetcher took that was given up, if none has followed it:
    /// there may be nothing to fetch for a while.
    async fn sweep(&self) -> Result<(), Error> {
        // Taken: there is one, or it is being made.
        let fetcher = self.own.fetcher.try_lock();
        let given_up = fetcher.as_ref().is_ok_and(|fetcher| fetcher.is_none());
        if given_up && self.own.unswept.load(Ordering::Relaxed) {
            self.succeed().await?;
        }
        Ok(())
    }

    /// Begins anew after a fetcher was given up: what it took and nobody knows
    /// goes back. The number of the first fetch from now on.
    pub(super) async fn succeed(&self) -> Result<usize, Error> {
        let number = self.admit().await?;
        self.put_back_unknown(number).await?;
        self.own.unswept.store(false, Ordering::Relaxed);
        Ok(number)
    }

    /// Puts back what this worker took before its fetch of this number and does
    /// not know of.
    pub(super) async fn put_back_unknown(&self, number: usize) -> Result<(), Error> {
        let own = &self.own;
        let mut tags = self.tags_of(&own.worker).await?;
        tags.retain(|tag| {
            let before = age(tag).is_none_or(|(turn, _)| turn < number as u64);
            before && !own.held.knows(tag)
        });
        let back = self.unacked.put_back(&tags, Unless::Never).await;
        or_stay(back.map(|count| say_restored(&own.worker, count.unwrap_or(0))))
    }

    async fn tags_of(&self, worker: &str) -> Result<Vec<String>, Error> {
        let (mut tags, mut cursor) = (HashSet::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(self.keys.unacked_index()).arg(cursor);
            scan.arg("MATCH").arg(format!("{worker}:*"));
            scan.arg("COUNT").arg(STEP);
            let (next, found): (u64, Vec<(String, String)>) =
                scan.query_async(&mut self.connection()).await?;
            tags.extend(found.into_iter().map(|(tag, _)| tag));
            if next == 0 {
                return Ok(tags.into_iter().collect());
            }
            cursor = next;
        }
    }

    /// As kombu's `QoS.restore_visible`, under the same mutex; by the server's
    /// clock, whatever those of the workers say.
    pub(super) async fn restore_overdue(&self) -> Result<(), Error> {
        let visible = self.options.visibility_timeout;
        let tags: Vec<String> = OVERDUE
            .key(self.keys.unacked_index())
            .arg(visible)
            .arg(ROUND)
            .invoke_async(&mut self.connection())
            .await?;
        if tags.is_empty() || !self.lock().await? {
            return Ok(());
        }
        let restored = self.unacked.put_back(&tags, Unless::Seen(visible)).await;
        let _: () = self.connection().del(self.keys.unacked_mutex()).await?;
        restored.map(drop)
    }

    async fn lock(&self) -> Result<bool, Error> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.unacked_mutex()).arg(&self.own.worker);
        command.arg("NX").arg("EX").arg(MUTEX_EXPIRE);
        let answer: Option<String> = command.query_async(&mut self.connection()).await?;
        Ok(answer.is_some())
    }
}

/// What no list takes stays where it is, and keeps back nothing else.
fn or_stay(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(error) if !error.passes() => {
            tracing::error!(%error, "cannot put back some of what others held");
            Ok(())
        }
        done => done,
    }
}

fn say_restored(worker: &str, count: usize) {
    if count > 0 {
        tracing::warn!(worker, "Restored {count} unacknowledged message(s).");
    }
}

impl Keys {
    /// Every worker there is or was, and the nodename in its lease if it lives.
    pub async fn leases(
        &self,
        connection: &Connection,
    ) -> Result<Vec<(String, Option<String>)>, Error> {
        let workers: Vec<String> = connection.clone().smembers(self.workers()).await?;
        if workers.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for worker in &workers {
            pipeline.get(self.lease(worker));
        }
        let nodes: Vec<Option<String>> = pipeline.query_async(&mut connection.clone()).await?;
        Ok(workers.into_iter().zip(nodes).collect())
    }
}
