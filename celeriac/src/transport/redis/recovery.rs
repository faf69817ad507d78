//! Messages of workers that died.
//!
//! kombu waits for the visibility timeout, an hour unless set. A Celeriac
//! worker also holds a lease, a key that expires soon unless renewed and says
//! its nodename, and its name is in the set of workers. Who finds a name without a lease puts that
//! worker's messages back. Python workers neither see nor need any of it, and
//! what they held is put back after the visibility timeout, as they do it.

use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use redis::AsyncCommands;

use super::RedisTransport;
use crate::error::Error;

/// kombu's `unacked_mutex_expire`, seconds.
const MUTEX_EXPIRE: u64 = 300;
/// Restored at once, at most: the rest comes with the next round.
const ROUND: isize = 1000;

impl RedisTransport {
    /// Renews the lease, the bindings of broadcasts, and the times of what is
    /// held.
    pub(super) async fn renew(&self, nodename: &str) -> Result<(), Error> {
        let lease = Duration::from_secs_f64(self.options.worker_lease.max(1.0));
        let mut pipeline = redis::pipe();
        pipeline
            .sadd(self.keys.workers(), &self.own.worker)
            .ignore();
        pipeline
            .pset_ex(
                self.keys.lease(&self.own.worker),
                nodename,
                lease.as_millis() as u64,
            )
            .ignore();
        pipeline.exec_async(&mut self.connection()).await?;
        self.bind_heard().await?;
        self.touch().await
    }

    /// Puts back what dead workers held, and what nobody has refreshed for the
    /// visibility timeout.
    pub(super) async fn recover(&self) -> Result<(), Error> {
        let mut suspects = self.own.suspects.lock().await;
        let leaseless = self.leaseless().await?;
        // Only those missing twice in a row: after Redis was away, the living
        // need a moment to renew.
        for worker in leaseless.intersection(&suspects) {
            self.put_back_all(worker).await?;
            self.forget_broadcasts(worker).await?;
            let _: () = self.connection().srem(self.keys.workers(), worker).await?;
        }
        *suspects = leaseless;
        self.restore_visible().await
    }

    async fn leaseless(&self) -> Result<HashSet<String>, Error> {
        let leases = self.leases().await?.into_iter();
        Ok(leases
            .filter(|(_, node)| node.is_none())
            .map(|(worker, _)| worker)
            .collect())
    }

    /// Every worker there is or was, and the nodename in its lease if it lives.
    pub(super) async fn leases(&self) -> Result<Vec<(String, Option<String>)>, Error> {
        let workers: Vec<String> = self.connection().smembers(self.keys.workers()).await?;
        let mut pipeline = redis::pipe();
        for worker in &workers {
            pipeline.get(self.keys.lease(worker));
        }
        let nodes: Vec<Option<String>> = pipeline.query_async(&mut self.connection()).await?;
        Ok(workers.into_iter().zip(nodes).collect())
    }

    /// Puts back all that `worker` held. For this worker's own name, what it
    /// does not know of: a lost connection took it along.
    pub(super) async fn put_back_all(&self, worker: &str) -> Result<(), Error> {
        let tags = self.tags_of(worker).await?;
        for tag in &tags {
            self.restore(tag).await?;
        }
        if !tags.is_empty() {
            tracing::warn!(worker, "Restored {} unacknowledged message(s).", tags.len());
        }
        Ok(())
    }

    async fn tags_of(&self, worker: &str) -> Result<Vec<String>, Error> {
        let mut connection = self.connection();
        let pattern = format!("{worker}:*");
        let mut found = connection
            .zscan_match::<_, _, (String, f64)>(self.keys.unacked_index(), pattern)
            .await?;
        let mut tags = Vec::new();
        while let Some(entry) = found.next_item().await {
            let (tag, _) = entry?;
            if !self.own.held.tags().contains(tag.as_str()) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    /// As kombu's `QoS.restore_visible`, under the same mutex.
    async fn restore_visible(&self) -> Result<(), Error> {
        let ceiling = Utc::now().timestamp_micros() as f64 / 1e6 - self.options.visibility_timeout;
        let index = self.keys.unacked_index();
        let tags: Vec<String> = self
            .connection()
            .zrangebyscore_limit(&index, 0, ceiling, 0, ROUND)
            .await?;
        if tags.is_empty() || !self.lock().await? {
            return Ok(());
        }
        for tag in &tags {
            self.restore(tag).await?;
        }
        Ok(self.connection().del(self.keys.unacked_mutex()).await?)
    }

    async fn lock(&self) -> Result<bool, Error> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.unacked_mutex()).arg(&self.own.worker);
        command.arg("NX").arg("EX").arg(MUTEX_EXPIRE);
        let answer: Option<String> = command.query_async(&mut self.connection()).await?;
        Ok(answer.is_some())
    }

    /// Puts back what is still held and gives up the lease.
    pub(super) async fn retire(&self) -> Result<(), Error> {
        self.put_back_all(&self.own.worker).await?;
        self.hear_only(&[]).await?;
        self.forget_broadcasts(&self.own.worker).await?;
        let mut pipeline = redis::pipe();
        pipeline
            .srem(self.keys.workers(), &self.own.worker)
            .ignore();
        pipeline.del(self.keys.lease(&self.own.worker)).ignore();
        Ok(pipeline.exec_async(&mut self.connection()).await?)
    }
}
