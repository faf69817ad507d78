//! `celery.schedules.crontab`.

use std::fmt::Display;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::cron_field::CronField;
use super::local_time::LocalTime;
use super::{Due, Rules, ScheduleError};

/// The last year of Python's datetimes.
pub(super) const LAST_YEAR: i32 = 9999;
/// A year that has all dates.
const LEAP_YEAR: i32 = 2000;

/// Minutes, hours and days at which an entry runs. Unlike in cron, a day must
/// be in all three of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Crontab(Fields);

/// The arguments of `crontab()`, each `*` if not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    minute: CronField<0, 59>,
    hour: CronField<0, 23>,
    /// Sunday is 0.
    day_of_week: CronField<0, 6>,
    day_of_month: CronField<1, 31>,
    month_of_year: CronField<1, 12>,
}

impl Crontab {
    /// The crontab of five fields with blanks between them, days of the month
    /// before months before days of the week. As `crontab.from_string`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_string(crontab: &str) -> Result<Self, String> {
        let fields: Vec<&str> = crontab.split_whitespace().collect();
        let &[minute, hour, day_of_month, month_of_year, day_of_week] = fields.as_slice() else {
            return Err(format!(
                "a crontab has five fields (minute hour day_of_month month_of_year \
                 day_of_week), and {crontab:?} has {}",
                fields.len()
            ));
        };
        let of = |name| move |reason| format!("{name}: {reason}");
        Self::try_from(Fields {
            minute: CronField::parse(minute).map_err(of("minute"))?,
            hour: CronField::parse(hour).map_err(of("hour"))?,
            day_of_week: CronField::parse(day_of_week).map_err(of("day_of_week"))?,
            day_of_month: CronField::parse(day_of_month).map_err(of("day_of_month"))?,
            month_of_year: CronField::parse(month_of_year).map_err(of("month_of_year"))?,
        })
    }

    /// Whether it is due at `now` after a run at `last_run_at`, and when to
    /// look again.
    pub(super) fn is_due(
        &self,
        last_run_at: DateTime<Utc>,
        now: DateTime<Utc>,
        rules: &Rules,
    ) -> Result<Due, ScheduleError> {
        let next = self.next(last_run_at, rules.zone)?;
        let mut is_due = next <= now;
        if next < now && self.is_stale(now, rules)? {
            is_due = false;
        }
        let next = if next <= now {
            self.next(now, rules.zone)?
        } else {
            next
        };
        Ok(Due {
            is_due,
            next: (next - now).max(TimeDelta::zero()),
        })
    }

    /// Whether no run that was missed is so recent that it must be made up for.
    fn is_stale(&self, now: DateTime<Utc>, rules: &Rules) -> Result<bool, ScheduleError> {
        let Some(deadline) = rules.cron_starting_deadline else {
            return Ok(false);
        };
        // A run at the very deadline is still in time.
        let since = now
            .checked_sub_signed(deadline + TimeDelta::microseconds(1))
            .unwrap_or(DateTime::<Utc>::MIN_UTC);
        Ok(self.next(since, rules.zone)? > now)
    }

    /// The run that follows one at `last`.
    pub(super) fn next(
        &self,
        last: DateTime<Utc>,
        zone: Tz,
    ) -> Result<DateTime<Utc>, ScheduleError> {
        let shown = LocalTime::of(last, zone).wall;
        let wall = self.next_wall(shown).ok_or(ScheduleError::Never)?;
        Ok(LocalTime::first(wall, zone).to_utc())
    }

    /// What the clock shows at the run that follows one at `last`.
    fn next_wall(&self, last: NaiveDateTime) -> Option<NaiveDateTime> {
        let today = last.date();
        let time = self
            .has(today)
            .then(|| self.time_after(last.time()))
            .flatten();
        match time {
            Some(time) => Some(today.and_time(time)),
            None => Some(self.date_after(today)?.and_time(self.times().next()?)),
        }
    }

    /// Whether it runs on a date.
    fn has(&self, date: NaiveDate) -> bool {
        let Fields {
            day_of_week,
            day_of_month,
            month_of_year,
            ..
        } = &self.0;
        month_of_year.contains(date.month())
            && day_of_month.contains(date.day())
            && day_of_week.contains(date.weekday().num_days_from_sunday())
    }

    /// When it runs on such a date.
    fn times(&self) -> impl Iterator<Item = NaiveTime> + '_ {
        let Fields { minute, hour, .. } = &self.0;
        hour.values().flat_map(|hour| {
            minute
                .values()
                .filter_map(move |minute| NaiveTime::from_hms_opt(hour, minute, 0))
        })
    }

    fn time_after(&self, time: NaiveTime) -> Option<NaiveTime> {
        self.times().find(|&run| run > time)
    }

    fn date_after(&self, today: NaiveDate) -> Option<NaiveDate> {
        let Fields {
            day_of_month,
            month_of_year,
            ..
        } = &self.0;
        let years = today.year()..=LAST_YEAR;
        years
            .flat_map(|year| month_of_year.values().map(move |month| (year, month)))
            .flat_map(|(year, month)| {
                let date = move |day| NaiveDate::from_ymd_opt(year, month, day);
                day_of_month.values().filter_map(date)
            })
            .find(|&date| date > today && self.has(date))
    }
}

impl TryFrom<Fields> for Crontab {
    type Error = String;

    /// Refuses what never comes, such as a 30th of February.
    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields {
            day_of_month,
            month_of_year,
            ..
        } = &fields;
        let first = day_of_month.smallest();
        let exists = |month| NaiveDate::from_ymd_opt(LEAP_YEAR, month, first).is_some();
        if month_of_year.values().any(exists) {
            return Ok(Self(fields));
        }
        Err(format!(
            "no month of month_of_year {month_of_year} has a day of day_of_month {day_of_month}: \
             change one of them"
        ))
    }
}

impl From<Crontab> for Fields {
    fn from(crontab: Crontab) -> Self {
        crontab.0
    }
}

impl Display for Crontab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fields {
            minute,
            hour,
            day_of_week,
            day_of_month,
            month_of_year,
        } = &self.0;
        // As Celery's `repr`.
        write!(
            f,
            "{minute} {hour} {day_of_month} {month_of_year} {day_of_week} (m/h/dM/MY/d)"
        )
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Europe::Paris, UTC};

    use super::*;

    fn next(crontab: &str, zone: Tz, last: &str) -> Result<String, Box<dyn std::error::Error>> {
        let next = Crontab::from_string(crontab)?.next(last.parse()?, zone)?;
        Ok(next.to_rfc3339())
    }

    #[test]
    fn both_days_must_match() -> Result<(), Box<dyn std::error::Error>> {
        let friday_13th = "0 0 13 * fri";
        let march = next(friday_13th, UTC, "2026-03-10T10:07:13Z")?;
        assert_eq!(march, "2026-03-13T00:00:00+00:00");
        assert_eq!(next(friday_13th, UTC, &march)?, "2026-11-13T00:00:00+00:00");
        Ok(())
    }

    #[test]
    fn a_time_that_the_clock_skips_comes_an_hour_later() -> Result<(), Box<dyn std::error::Error>> {
        let run = next("30 2 * * *", Paris, "2026-03-28T12:00:00Z")?;
        assert_eq!(run, "2026-03-29T01:30:00+00:00");
        Ok(())
    }

    #[test]
    fn what_never_comes_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        assert!(Crontab::from_string("0 0 30 2 *").is_err());
        // The years end before the next leap year.
        let never = Crontab::from_string("0 0 29 2 *")?;
        assert!(never.next("9997-01-01T00:00:00Z".parse()?, UTC).is_err());
        Ok(())
    }
}
