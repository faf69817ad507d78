//! Periodic tasks (`celery.schedules`, `celery.beat`).
//!
//! - [`Schedule`]: when an entry is due
//! - [`Beat`]: sends what is due and remembers it

mod beat;
mod state;

use chrono::{DateTime, Duration, DurationRound, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use crate::config::{BeatEntry, ScheduleSpec};

pub use beat::Beat;

/// A schedule that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("beat_schedule.{entry}: {reason}")]
pub struct ScheduleError {
    entry: String,
    reason: String,
}

/// When an entry runs.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// After so much time; `relative` counts from whole multiples of it.
    Interval {
        /// The time between two runs.
        every: Duration,
        /// As `schedule(relative=True)`.
        relative: bool,
    },
    /// At these minutes of this zone.
    Crontab {
        /// The five fields.
        cron: Box<Cron>,
        /// The zone they are meant in.
        zone: Tz,
    },
}

impl Schedule {
    /// The schedule of an entry in the configuration.
    pub fn new(name: &str, entry: &BeatEntry, zone: Tz) -> Result<Self, ScheduleError> {
        let wrong = |reason: String| ScheduleError {
            entry: name.to_owned(),
            reason,
        };
        match &entry.schedule {
            ScheduleSpec::Seconds(seconds) if *seconds > 0.0 && seconds.is_finite() => {
                Ok(Self::Interval {
                    every: Duration::microseconds((seconds * 1e6) as i64),
                    relative: entry.relative,
                })
            }
            ScheduleSpec::Seconds(_) => {
                Err(wrong("an interval must be more than 0 seconds".into()))
            }
            ScheduleSpec::Crontab { crontab: c } => {
                let pattern = [
                    &c.minute,
                    &c.hour,
                    &c.day_of_month,
                    &c.month_of_year,
                    &c.day_of_week,
                ]
                .map(|field| field.replace(char::is_whitespace, ""))
                .join(" ");
                // Celery wants both days to match where cron wants either.
                let parser = CronParser::builder()
                    .seconds(Seconds::Disallowed)
                    .dom_and_dow(true)
                    .build();
                let cron = parser
                    .parse(&pattern)
                    .map_err(|error| wrong(format!("crontab {pattern:?}: {error}")))?;
                Ok(Self::Crontab {
                    cron: Box::new(cron),
                    zone,
                })
            }
        }
    }

    /// When to run next after a run at `last`; `None` for never again.
    pub fn next(&self, last: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Interval {
                every,
                relative: false,
            } => last.checked_add_signed(*every),
            Self::Interval {
                every,
                relative: true,
            } => last.duration_trunc(*every).ok()?.checked_add_signed(*every),
            Self::Crontab { cron, zone } => {
                let next = cron
                    .find_next_occurrence(&last.with_timezone(zone), false)
                    .ok()?;
                Some(next.to_utc())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(toml: &str, zone: Tz) -> Result<Schedule, Box<dyn std::error::Error>> {
        let entry: BeatEntry = toml::from_str(&format!("task = 't'\n{toml}"))?;
        Ok(Schedule::new("e", &entry, zone)?)
    }

    fn next(toml: &str, zone: Tz, last: &str) -> Result<String, Box<dyn std::error::Error>> {
        let next = schedule(toml, zone)?.next(last.parse()?);
        Ok(next.map(|next| next.to_rfc3339()).unwrap_or_default())
    }

    #[test]
    fn knows_when_an_entry_is_due() -> Result<(), Box<dyn std::error::Error>> {
        let utc = chrono_tz::UTC;
        let last = "2026-03-10T10:07:13Z";
        assert_eq!(
            next("schedule = 30.5", utc, last)?,
            "2026-03-10T10:07:43.500+00:00"
        );
        assert_eq!(
            next("schedule = 60\nrelative = true", utc, last)?,
            "2026-03-10T10:08:00+00:00"
        );
        let crontab = "schedule = { crontab = { minute = '*/15', hour = 10 } }";
        assert_eq!(next(crontab, utc, last)?, "2026-03-10T10:15:00+00:00");
        let morning = "schedule = { crontab = { minute = 0, hour = 7, day_of_week = 'mon-fri' } }";
        assert_eq!(
            next(morning, chrono_tz::Europe::Paris, last)?,
            "2026-03-11T06:00:00+00:00"
        );
        // Friday the 13th: both days must match.
        let both =
            "schedule = { crontab = { minute = 0, hour = 0, day_of_month = 13, day_of_week = 5 } }";
        assert_eq!(next(both, utc, last)?, "2026-03-13T00:00:00+00:00");
        assert_eq!(
            next(both, utc, "2026-03-14T00:00:00Z")?,
            "2026-11-13T00:00:00+00:00"
        );
        Ok(())
    }

    #[test]
    fn refuses_what_is_no_schedule() {
        assert!(schedule("schedule = 0", chrono_tz::UTC).is_err());
        assert!(schedule("schedule = { crontab = { minute = '61' } }", chrono_tz::UTC).is_err());
    }
}
