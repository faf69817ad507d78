//! A schedule's state in the broker, for beats on any machines.
//!
//! | key, after `celeriac.beat.` | what it holds |
//! | --- | --- |
//! | `leader` | `<beat>:<reign>` of who leads; expires unless renewed |
//! | `reigns` | how many there have been |
//! | `histories` | entry → when it ran |
//! | `zone` | the time zone that these were reckoned in |
//! | `changes` | entry → what has been said at run time |
//! | `revision` | counts those |
//!
//! A turn is one script, which looks whether its leader still leads, changes
//! the history and puts the messages into their queues. So nothing is lost or
//! sent twice, whenever a beat dies. All beats go by the server's clock, so that
//! it does not matter whose own is right.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::{AsyncCommands, Script};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::broker::Keys;
use super::link::{self, Connection, LinkOptions, Server};
use super::wire;
use crate::canvas::new_id;
use crate::config::Settings;
use crate::error::Error;
use crate::schedule::{Change, History, Lead, Memory, ScheduleStore, Turn};
use crate::value::json;

/// `KEYS`: leader, reigns, revision. `ARGV`: this beat, the lease in
/// milliseconds.
const LEAD: &str = r"
local leader = redis.call('GET', KEYS[1])
if not leader then
  leader = ARGV[1] .. ':' .. redis.call('INCR', KEYS[2])
elseif string.sub(leader, 1, #ARGV[1] + 1) ~= ARGV[1] .. ':' then
  return false
end
redis.call('SET', KEYS[1], leader, 'PX', ARGV[2])
return {leader, redis.call('GET', KEYS[3]) or '0'}
";

/// `KEYS`: leader. `ARGV`: who.
const RESIGN: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// `KEYS`: leader, histories, zone. `ARGV`: who, the zone, entries.
const FORGET: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[3], ARGV[2])
for i = 3, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 1
";

/// `KEYS`: leader, histories, a list or channel for each message. `ARGV`: who,
/// how many turns, three for each (the entry, its history before as it is
/// stored, empty for none, and after), for each message the command that sends
/// it, and itself. What is no list refuses all, and nothing is done.
const COMMIT: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local last = 3 * ARGV[2]
local done = true
local fits = true
for i = 3, last, 3 do
  local known = redis.call('HGET', KEYS[2], ARGV[i]) or ''
  done = done and known == ARGV[i + 2]
  fits = fits and known == ARGV[i + 1]
end
if done then return 1 end
if not fits then return 0 end
for i = 3, #KEYS do
  if ARGV[last + 2 * i - 3] ~= 'PUBLISH' then redis.call('LLEN', KEYS[i]) end
end
for i = 3, #KEYS do redis.call(ARGV[last + 2 * i - 3], KEYS[i], ARGV[last + 2 * i - 2]) end
for i = 3, last, 3 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2]) end
return 1
";

/// Celeriac's shared schedule.
pub struct RedisSchedule {
    connection: Connection,
    keys: Keys,
    /// This beat's name in the election.
    beat: String,
    lease: Duration,
    /// The histories as they were found: others may write a time in another
    /// way, or what nobody can read, and it is there all the same.
    found: Mutex<HashMap<String, Vec<u8>>>,
    lead: Script,
    resign: Script,
    forget: Script,
    commit: Script,
}

impl RedisSchedule {
    /// The schedule in the broker of `settings`; connects when first used.
    ///
    /// # Errors
    /// [`Error::Url`] if the broker's address is not one of Redis.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let server = Server::new(
            "broker_url",
            &settings.broker_url,
            &LinkOptions::of_broker(settings),
        )?;
        Ok(Self {
            connection: Connection::new(&server),
            keys: Keys::of(&server, &settings.broker_transport_options),
            beat: new_id(),
            lease: settings.lease(),
            found: Mutex::default(),
            lead: Script::new(LEAD),
            resign: Script::new(RESIGN),
            forget: Script::new(FORGET),
            commit: Script::new(COMMIT),
        })
    }

    fn connection(&self) -> Connection {
        self.connection.clone()
    }

    fn key(&self, name: &str) -> String {
        self.keys.beat(name)
    }

    async fn table(&self, name: &str) -> Result<HashMap<String, Vec<u8>>, Error> {
        Ok(self.connection().hgetall(self.key(name)).await?)
    }

    /// A history as it is stored: as it was found, or as this beat writes it.
    fn stored(&self, entry: &str, history: Option<&History>) -> Result<Vec<u8>, Error> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match found.get(entry) {
            Some(text) if json::from_slice(text).ok().as_ref() == history => Ok(text.clone()),
            _ => Ok(history.map(json::to_vec).transpose()?.unwrap_or_default()),
        }
    }
}

/// A hash of JSON values. What nobody can read is left out.
fn read<T: DeserializeOwned>(name: &str, table: &HashMap<String, Vec<u8>>) -> BTreeMap<String, T> {
    let read = |(entry, value): (&String, &Vec<u8>)| match json::from_slice(value) {
        Ok(value) => Some((entry.clone(), value)),
        Err(error) => {
            tracing::error!(%error, entry, "cannot read one of celeriac.beat.{name}");
            None
        }
    };
    table.iter().filter_map(read).collect()
}

#[async_trait]
impl ScheduleStore for RedisSchedule {
    async fn now(&self) -> Result<DateTime<Utc>, Error> {
        link::time(&mut self.connection()).await
    }

    async fn lead(&self) -> Result<Option<Lead>, Error> {
        let mut call = self.lead.prepare_invoke();
        call.key(self.key("leader")).key(self.key("reigns"));
        call.key(self.key("revision")).arg(&self.beat);
        call.arg(self.lease.as_millis() as u64);
        let lead: Option<(String, u64)> = call.invoke_async(&mut self.connection()).await?;
        Ok(lead.map(|(fence, revision)| Lead { fence, revision }))
    }

    async fn resign(&self, lead: &Lead) -> Result<(), Error> {
        let mut call = self.resign.key(self.key("leader"));
        let call = call.arg(&lead.fence);
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    async fn memory(&self) -> Result<Memory, Error> {
        let found = self.table("histories").await?;
        let histories = read("histories", &found);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(Memory {
            histories,
            zone: self.connection().get(self.key("zone")).await?,
        })
    }

    async fn forget(&self, lead: &Lead, entries: &[String], zone: &str) -> Result<bool, Error> {
        let mut call = self.forget.key(self.key("leader"));
        call.key(self.key("histories")).key(self.key("zone"));
        call.arg(&lead.fence).arg(zone).arg(entries);
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    async fn commit(&self, lead: &Lead, turns: &[Turn]) -> Result<bool, Error> {
        let mut call = self.commit.key(self.key("leader"));
        call.key(self.key("histories"));
        call.arg(&lead.fence).arg(turns.len());
        for turn in turns {
            call.arg(&turn.entry)
                .arg(self.stored(&turn.entry, turn.before.as_ref())?)
                .arg(json::to_vec(&turn.history)?);
        }
        for message in turns.iter().flat_map(|turn| &turn.messages) {
            let payload = wire::encode(&message.message, &message.id.to_string())?;
            for (command, key) in self.keys.destinations(message, &self.connection).await? {
                call.key(key).arg(command).arg(&payload);
            }
        }
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    async fn changes(&self) -> Result<BTreeMap<String, Change>, Error> {
        Ok(read("changes", &self.table("changes").await?))
    }

    async fn change(&self, entry: &str, change: &Change) -> Result<(), Error> {
        let key = self.key("changes");
        let mut pipeline = ::redis::pipe();
        pipeline.atomic();
        if change.is_empty() {
            pipeline.hdel(key, entry).ignore();
        } else {
            let change = json::to_vec(change)?;
            pipeline.hset(key, entry, change).ignore();
        }
        pipeline.incr(self.key("revision"), 1).ignore();
        Ok(pipeline.exec_async(&mut self.connection()).await?)
    }
}
