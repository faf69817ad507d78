//! Periodic tasks: when they are due, and where it is kept that they ran
//! (`celery.schedules`). What sends them is [`beat`](crate::beat).
//!
//! - [`Schedule`]: when an entry is due: [`Interval`], [`Crontab`], [`Solar`]
//! - [`BeatEntry`]: what is sent then; `argument`: values from TOML and JSON
//! - [`ScheduleStore`]: what beats share and elect their leader by;
//!   [`FileStore`] keeps it in files

mod argument;
mod cron_field;
mod crontab;
mod entry;
mod file_store;
mod interval;
mod local_time;
mod solar;
pub(crate) mod spec;
mod store;
#[cfg_attr(not(feature = "solar"), path = "no_sun.rs")]
mod sun;

use chrono::TimeDelta;
use chrono_tz::Tz;

pub use crontab::Crontab;
pub use entry::{BeatEntry, EntryOptions};
pub use file_store::FileStore;
pub use interval::Interval;
pub use solar::{Solar, SolarEvent};
pub use spec::Schedule;
pub use store::{Change, History, Lead, Memory, ScheduleStore, Turn};

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
