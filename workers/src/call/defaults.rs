//! What is made up for a call that does not say it, always the same for the
//! same id.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Words spoken in a minute, for estimating a call's length.
const WORDS_PER_MINUTE: f64 = 150.0;

/// Where made-up values are taken from.
#[derive(Debug, Clone, PartialEq)]
pub struct CallDefaults {
    /// Agents that unsigned calls are shared among.
    pub agents: Vec<String>,
    /// No made-up start lies after this instant. It is fixed, not "now", so
    /// that ingesting a row again gives the same call.
    pub latest_start: DateTime<Utc>,
    /// Made-up starts are spread over this many days before `latest_start`.
    pub spread_days: u32,
}

/// The id of a call that its producer names, or of one's contents: the UUID
/// itself where the name is one, else made from it.
pub(super) fn id_of(name: &str) -> Uuid {
    let space = || Uuid::new_v5(&Uuid::NAMESPACE_URL, b"celeriac:call");
    Uuid::parse_str(name).unwrap_or_else(|_| Uuid::new_v5(&space(), name.as_bytes()))
}

impl CallDefaults {
    /// One of the pool.
    pub(super) fn agent(&self, id: Uuid) -> String {
        match self.agents.len() {
            0 => "unknown".to_owned(),
            count => self.agents[(draw(id, "agent") % count as u64) as usize].clone(),
        }
    }

    /// `customer-0000` to `customer-9999`.
    pub(super) fn customer(&self, id: Uuid) -> String {
        format!("customer-{:04}", draw(id, "customer") % 10_000)
    }

    /// An instant in the days before `latest_start`, to the second.
    pub(super) fn start_time(&self, id: Uuid) -> DateTime<Utc> {
        let span = u64::from(self.spread_days.max(1)) * 86_400;
        // Below 2^32 days of seconds, so the cast keeps the value.
        let before = TimeDelta::seconds((draw(id, "start") % span) as i64);
        self.latest_start
            .checked_sub_signed(before)
            .unwrap_or(self.latest_start)
    }

    /// Seconds it takes to speak that many words, a fifth more or less.
    pub(super) fn duration(&self, id: Uuid, words: usize) -> i32 {
        let pace = 0.8 + (draw(id, "duration") % 401) as f64 / 1_000.0;
        (words as f64 * 60.0 / WORDS_PER_MINUTE * pace).ceil() as i32
    }
}

/// A number that looks random but depends on the call and the purpose alone.
fn draw(id: Uuid, purpose: &str) -> u64 {
    Uuid::new_v5(&id, purpose.as_bytes()).as_u64_pair().0
}
