//! The `schedule` of an entry, in all its forms.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{BeatEntry, Crontab, Due, Interval, Rules, ScheduleError, Solar};

/// When an entry runs. In the configuration: seconds, a crontab's five fields
/// in a text, `{ crontab = {…} }` or `{ solar = {…} }`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// At these minutes of these days.
    Crontab(Box<Crontab>),
    /// When the sun is there.
    Solar(Solar),
    /// Every so many seconds.
    #[serde(untagged)]
    Interval(Interval),
}

impl Schedule {
    /// Whether to run at `now` after a run at `last_run_at`, and when to ask
    /// again. `relative` is the entry's; `now` stands for Celery's `nowfun`.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn is_due(
        &self,
        last_run_at: DateTime<Utc>,
        now: DateTime<Utc>,
        relative: bool,
        rules: &Rules,
    ) -> Result<Due, ScheduleError> {
        match self {
            Self::Interval(interval) => {
                Ok(interval.is_due(last_run_at, now, relative.then_some(rules.zone)))
            }
            Self::Crontab(crontab) => crontab.is_due(last_run_at, now, rules),
            Self::Solar(solar) => solar.is_due(last_run_at, now),
        }
    }
}

/// An entry's runs from `now` on, if beat never sleeps.
pub(crate) fn runs(
    entry: &BeatEntry,
    last_run_at: DateTime<Utc>,
    now: DateTime<Utc>,
    rules: Rules,
) -> impl Iterator<Item = Result<DateTime<Utc>, ScheduleError>> {
    let (schedule, relative) = (entry.schedule.clone(), entry.relative);
    let (mut last, mut now) = (last_run_at, now);
    std::iter::from_fn(move || {
        let run = schedule.is_due(last, now, relative, &rules).map(|due| {
            // What is due runs now, and then goes on from there.
            if due.is_due { now } else { now + due.next }
        });
        if let Ok(run) = run {
            (last, now) = (run, run);
        }
        Some(run)
    })
}

impl Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interval(interval) => interval.fmt(f),
            Self::Crontab(crontab) => crontab.fmt(f),
            Self::Solar(solar) => solar.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

/// Each form by itself, so that what is wrong is said of its own place.
struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Schedule;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "seconds, a crontab such as \"*/5 * * * *\", { crontab = {…} } or { solar = {…} }",
        )
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Schedule, E> {
        let interval = Interval::try_from(seconds).map_err(E::custom)?;
        Ok(Schedule::Interval(interval))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Schedule, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Schedule, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_str<E: Error>(self, crontab: &str) -> Result<Schedule, E> {
        let crontab = Crontab::from_string(crontab).map_err(E::custom)?;
        Ok(Schedule::Crontab(Box::new(crontab)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schedule, A::Error> {
        let schedule = match map.next_key::<String>()?.as_deref() {
            Some("crontab") => Schedule::Crontab(map.next_value()?),
            Some("solar") => Schedule::Solar(map.next_value()?),
            Some(other) => {
                return Err(A::Error::unknown_field(other, &["crontab", "solar"]));
            }
            None => return Err(A::Error::missing_field("crontab")),
        };
        match map.next_key::<String>()? {
            Some(_) => Err(A::Error::custom("an entry has one schedule")),
            None => Ok(schedule),
        }
    }
}
