//! Where beats keep what they share.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::BeatEntry;
use crate::broker::Outgoing;
use crate::error::Error;

/// When an entry ran. The leader's to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When it was last sent; for an entry that never was, when it was first seen.
    pub last_run_at: DateTime<Utc>,
    /// How often it has been sent.
    pub total_run_count: u64,
}

/// What has been said about an entry at run time. Anybody's to write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Whether its runs are skipped.
    pub paused: bool,
    /// The entry itself, if the configuration does not have it.
    pub entry: Option<BeatEntry>,
}

impl Change {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The right to send what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Tells this reign from all others: what an earlier leader still does
    /// after its lease has ended is refused.
    pub fence: String,
    /// Another number if a change has been made.
    pub revision: u64,
}

/// One entry's turn: what becomes of its history, and what is sent for it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The entry's name.
    pub entry: String,
    /// Its history so far; with another one the turn is refused.
    pub before: Option<History>,
    /// Its history from now on.
    pub history: History,
    /// What is sent; nothing if the turn is skipped.
    pub messages: Vec<Outgoing>,
}

/// What the leader begins with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// When entries ran.
    pub histories: BTreeMap<String, History>,
    /// The time zone that they were reckoned in.
    pub zone: Option<String>,
}

/// The state that beats share, and their election. As the store of
/// `celery.beat.PersistentScheduler`.
///
/// Every method may fail with a lost connection, and may then be called again:
/// what it did twice, it did once.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// What the clock shows that these beats go by.
    async fn now(&self) -> Result<DateTime<Utc>, Error>;

    /// Takes the lead, or keeps it; `None` while another beat has it. To be
    /// called again within a third of the lease.
    async fn lead(&self) -> Result<Option<Lead>, Error>;

    /// Gives the lead to whoever is next.
    async fn resign(&self, lead: &Lead) -> Result<(), Error>;

    /// What has been remembered.
    async fn memory(&self) -> Result<Memory, Error>;

    /// Forgets some histories, and remembers the zone. `false` if another
    /// beat leads.
    async fn forget(&self, lead: &Lead, entries: &[String], zone: &str) -> Result<bool, Error>;

    /// Does all of these turns, each of another entry, or nothing. `false` if
    /// another beat leads, or has done something else since.
    async fn commit(&self, lead: &Lead, turns: &[Turn]) -> Result<bool, Error>;

    /// What has been said at run time, by entry.
    async fn changes(&self) -> Result<BTreeMap<String, Change>, Error>;

    /// Says it of one entry; an empty change takes back what was said.
    async fn change(&self, entry: &str, change: &Change) -> Result<(), Error>;
}
