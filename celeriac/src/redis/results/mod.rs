//! Results in Redis, in Celery's layout (`celery/backends/redis.py`):
//! `celery-task-meta-<id>` holds the meta and is also the channel on which it
//! is published.
//!
//! - `keys`: how they are named
//! - `chord`: the counters of chords
//! - `storing`: many results in one step

mod chord;
mod keys;
mod storing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::redis::{AsyncCommands, FromRedisValue, PushInfo, PushKind};
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::config::Settings;
use crate::error::Error;
use crate::redis::batcher::Batcher;
use crate::redis::link::{Connection, LinkOptions, Server};
use crate::results::{ChordStore, Codec, GroupStore, Lookup, ResultStore, TaskMeta, states};
use chord::ChordScripts;
use keys::ResultKeys;
use storing::{Storing, ToStore};

/// A result that was published while nobody listened is found at the latest
/// after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Bytes of a value, at most, in any Redis.
const LARGEST: usize = 512 << 20;

/// Who waits for which key.
type Waiters = Arc<Mutex<HashMap<String, Arc<Notify>>>>;

/// Celery's Redis backend.
pub struct RedisResults {
    server: Server,
    connection: Connection,
    /// Seconds that a result lives; 0 for ever.
    expires: u64,
    /// The same of a failure.
    failures_expire: u64,
    /// Seconds that what a chord is counted by lives; 0 for ever.
    chords_expire: u64,
    codec: Codec,
    keys: ResultKeys,
    storing: Batcher<Storing>,
    chords: ChordScripts,
    /// The connection that subscribes; opened for the first who waits.
    subscriber: OnceLock<Connection>,
    waiters: Waiters,
}

impl RedisResults {
    /// Results at `url`, as the settings say; connects when first used.
    ///
    /// # Errors
    /// [`Error::Url`] if it is not an address of Redis.
    pub fn new(url: &str, settings: &Settings) -> Result<Self, Error> {
        let server = Server::new("result_backend", url, &LinkOptions::of_results(settings))?;
        let connection = Connection::new(&server);
        let expires = settings.result_expires;
        let failures_expire = settings.result_failure_expires.unwrap_or(expires);
        let options = &settings.result_backend_transport_options;
        Ok(Self {
            storing: Batcher::new(Storing::new(connection.clone())),
            connection,
            server,
            expires: expires as u64,
            failures_expire: failures_expire as u64,
            chords_expire: settings.result_chord_expires.unwrap_or(expires) as u64,
            codec: Codec::of(settings),
            keys: ResultKeys::new(&options.global_keyprefix),
            chords: ChordScripts::default(),
            subscriber: OnceLock::new(),
            waiters: Waiters::default(),
        })
    }

    fn subscriber(&self) -> &Connection {
        self.subscriber.get_or_init(|| {
            let waiters = Arc::clone(&self.waiters);
            Connection::with_pushes(&self.server, move |push| wake(&waiters, &push))
        })
    }

    /// Whether what is stored is a success; what nobody can read is none.
    fn is_success(&self, stored: &[u8]) -> bool {
        let meta = self.codec.loads::<TaskMeta>(stored);
        meta.is_ok_and(|meta| meta.status == states::SUCCESS)
    }

    async fn wait_for(
        &self,
        task_id: &str,
        deadline: Instant,
        news: &Notify,
    ) -> Result<Option<TaskMeta>, Error> {
        loop {
            if let Some(meta) = self.get(task_id).await?
                && states::is_ready(&meta.status)
            {
                return Ok(Some(meta));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            // Told or not: what counts is what is stored.
            let _ = timeout_at(look_again, news.notified()).await;
        }
    }
}

/// Wakes whoever waits for the channel of a published message.
fn wake(waiters: &Waiters, push: &PushInfo) {
    let channel = push.data.first().map(String::from_redis_value_ref);
    if let (PushKind::Message, Some(Ok(channel))) = (&push.kind, channel) {
        let waiters = waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = waiters.get(&channel) {
            // Every one of them, and the one that has not begun to wait yet.
            news.notify_waiters();
            news.notify_one();
        }
    }
}

#[async_trait]
impl ResultStore for RedisResults {
    async fn store(&self, meta: &TaskMeta) -> Result<(), Error> {
        let key = self.keys.task(&meta.task_id);
        let encoded = self.codec.dumps(meta)?;
        let expires = match meta.status == states::FAILURE {
            true => self.failures_expire,
            false => self.expires,
        };
        if encoded.len() > LARGEST {
            return Err(Error::ResultTooLarge);
        }
        let mut replaces = Vec::new();
        loop {
            let request = ToStore {
                key: key.clone(),
                meta: encoded.clone(),
                replaces,
                expires,
            };
            match self.storing.ask(request).await? {
                Some(found) if !self.is_success(&found) => replaces = found,
                _ => return Ok(()),
            }
        }
    }

    async fn wait(&self, task_id: &str, timeout: Duration) -> Result<TaskMeta, Error> {
        let deadline = Instant::now() + timeout;
        let key = self.keys.task(task_id);
        let news = {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(waiters.entry(key.clone()).or_default())
        };
        let subscriber = self.subscriber();
        subscriber.subscribe(&key).await?;
        let found = self.wait_for(task_id, deadline, &news).await;
        let last = {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            // The map's and ours: nobody else waits.
            let last = Arc::strong_count(&news) <= 2;
            if last {
                waiters.remove(&key);
            }
            last
        };
        if last {
            // Only saves the server work; a fault here loses nothing.
            let _ = subscriber.unsubscribe(&key).await;
        }
        found?.ok_or(Error::Timeout(timeout))
    }

    async fn ping(&self) -> Result<(), Error> {
        self.server.open_and_ask().await?;
        Ok(())
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        Some(self)
    }

    fn chords(&self) -> Option<&dyn ChordStore> {
        Some(self)
    }

    fn groups(&self) -> Option<&dyn GroupStore> {
        Some(self)
    }
}

#[async_trait]
impl Lookup for RedisResults {
    async fn get(&self, task_id: &str) -> Result<Option<TaskMeta>, Error> {
        let stored: Option<Vec<u8>> = self.connection.clone().get(self.keys.task(task_id)).await?;
        stored.map(|meta| self.codec.loads(&meta)).transpose()
    }

    async fn forget(&self, task_id: &str) -> Result<(), Error> {
        Ok(self.connection.clone().del(self.keys.task(task_id)).await?)
    }
}
