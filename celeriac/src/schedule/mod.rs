//! Periodic tasks (`celery.schedules`, `celery.beat`).
//!
//! - [`Schedule`]: when an entry is due: [`Interval`], [`Crontab`], [`Solar`]
//! - [`BeatEntry`]: what is sent then; `argument`: values from TOML and JSON
//! - [`Beat`]: sends it, if it leads; `agenda` is what it has to do
//! - [`ScheduleStore`]: what beats share and elect their leader by;
//!   [`FileStore`] keeps it in files
//! - [`Registry`]: lists and changes entries while beats run

mod agenda;
mod argument;
mod beat;
mod cron_field;
mod crontab;
mod entry;
mod file_store;
mod interval;
mod local_time;
mod registry;
mod solar;
mod spec;
mod store;
#[cfg_attr(not(feature = "solar"), path = "no_sun.rs")]
mod sun;

use chrono::TimeDelta;
use chrono_tz::Tz;

pub use beat::Beat;
pub use crontab::Crontab;
pub use entry::{BeatEntry, EntryOptions};
pub use file_store::FileStore;
pub use interval::Interval;
pub use registry::{Listing, Registry, RegistryError};
pub use solar::{Solar, SolarEvent};
pub use spec::Schedule;
pub use store::{Change, History, Lead, Memory, ScheduleStore, Turn};

use crate::config::Settings;
use crontab::LAST_YEAR;

/// What schedules of one application share.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The zone of crontabs and of relative intervals. As `timezone`.
    pub zone: Tz,
    /// A crontab's run that has been missed for longer than this is not made
    /// up for. As `beat_cron_starting_deadline`.
    pub cron_starting_deadline: Option<TimeDelta>,
}

impl Rules {
    /// Those of an application.
    pub fn of(settings: &Settings) -> Self {
        let deadline = settings.beat_cron_starting_deadline;
        Self {
            zone: settings.zone(),
            cron_starting_deadline: deadline
                .map(|seconds| TimeDelta::milliseconds((seconds * 1e3) as i64)),
        }
    }
}

/// Whether to run now, and how long to wait before asking again. As
/// `schedstate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whether to run now.
    pub is_due: bool,
    /// Until the next run, reckoned from now.
    pub next: TimeDelta,
}

/// When to run cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Its fields meet on no date.
    #[error(
        "no date until the end of {LAST_YEAR} is in day_of_month, month_of_year and day_of_week: \
         change one of them"
    )]
    Never,
    /// The sun cannot be reckoned.
    #[error("cannot tell where the sun is: {0}")]
    Sun(String),
}
