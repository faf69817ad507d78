//! `celery.schedules.crontab`.

use std::fmt::Display;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::cron_field::CronField;
use super::local_time::LocalTime;
use super::{Due, Rules, ScheduleError};

/// Days of each month in a leap year.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// After so many days that do not exist there will be none.
const MOST_TRIES: u32 = 2000;
/// The last year of Python's datetimes.
const LAST_YEAR: i32 = 9999;

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
        let last = LocalTime::of(last, zone);
        let wall = self.next_wall(last).ok_or(ScheduleError::Never)?;
        Ok(LocalTime::first(wall, zone).to_utc())
    }

    /// What the clock shows then.
    fn next_wall(&self, last: LocalTime) -> Option<NaiveDateTime> {
        let wall = last.wall;
        let today = wall.date();
        let is_today = self.0.month_of_year.contains(today.month())
            && self.0.day_of_month.contains(today.day())
            && self.0.day_of_week.contains(weekday(today));
        if is_today {
            let minute = self.0.minute.after(wall.minute());
            if let Some(minute) = minute.filter(|_| self.0.hour.contains(wall.hour())) {
                return today.and_hms_opt(wall.hour(), minute, 0);
            }
            if let Some(hour) = self.0.hour.after(wall.hour()) {
                return today.and_hms_opt(hour, self.0.minute.smallest(), 0);
            }
        }
        let any_date = self.0.day_of_month.is_star() && self.0.month_of_year.is_star();
        let day = if any_date {
            self.next_weekday(today)
        } else {
            Search::new(self, last).next_date()
        };
        self.begin(day?)
    }

    /// The first time of a day.
    fn begin(&self, day: NaiveDate) -> Option<NaiveDateTime> {
        day.and_hms_opt(self.0.hour.smallest(), self.0.minute.smallest(), 0)
    }

    fn next_weekday(&self, today: NaiveDate) -> Option<NaiveDate> {
        let today_is = weekday(today);
        let next = self.0.day_of_week.after(today_is);
        let next = next.unwrap_or(self.0.day_of_week.smallest());
        let days = match (7 + next - today_is) % 7 {
            0 => 7,
            days => days,
        };
        today.checked_add_days(Days::new(days.into()))
    }
}

/// Sunday is 0.
fn weekday(date: NaiveDate) -> u32 {
    date.weekday().num_days_from_sunday()
}

/// Walks over the dates that day and month name. As `crontab._delta_to_next`.
struct Search<'a> {
    crontab: &'a Crontab,
    last: LocalTime,
    days: Vec<u32>,
    months: Vec<u32>,
    year: i32,
    /// Places in `days` and `months`.
    day: usize,
    month: usize,
}

impl<'a> Search<'a> {
    fn new(crontab: &'a Crontab, last: LocalTime) -> Self {
        let days: Vec<u32> = crontab.0.day_of_month.values().collect();
        let months: Vec<u32> = crontab.0.month_of_year.values().collect();
        let (this_day, this_month) = (last.wall.day(), last.wall.month());
        let month = months.partition_point(|&month| month < this_month);
        let day = if months.get(month) == Some(&this_month) {
            days.partition_point(|&day| day <= this_day)
        } else {
            0
        };
        let over = month == months.len();
        Self {
            crontab,
            last,
            days,
            year: last.wall.year() + i32::from(over),
            month: if over { 0 } else { month },
            months,
            day,
        }
    }

    fn next_date(mut self) -> Option<NaiveDate> {
        loop {
            let date = self.roll_over()?;
            if self.crontab.0.day_of_week.contains(weekday(date)) {
                return Some(date);
            }
            self.day += 1;
        }
    }

    /// The date here, or the first one of a later month.
    fn roll_over(&mut self) -> Option<NaiveDate> {
        for _ in 0..MOST_TRIES {
            if let Some(date) = self.date().filter(|&date| !self.is_before_last_run(date)) {
                return Some(date);
            }
            self.day = 0;
            self.month += 1;
            if self.month == self.months.len() {
                self.month = 0;
                self.year += 1;
            }
        }
        None
    }

    fn date(&self) -> Option<NaiveDate> {
        let day = self.days.get(self.day)?;
        NaiveDate::from_ymd_opt(self.year, *self.months.get(self.month)?, *day)
            .filter(|date| date.year() <= LAST_YEAR)
    }

    fn is_before_last_run(&self, date: NaiveDate) -> bool {
        let run = self.crontab.begin(date);
        run.is_some_and(|run| {
            LocalTime::first(run, self.last.zone).resolved().wall < self.last.wall
        })
    }
}

impl TryFrom<Fields> for Crontab {
    type Error = String;

    /// Refuses what never comes, such as a 30th of February.
    fn try_from(fields: Fields) -> Result<Self, String> {
        let first = fields.day_of_month.smallest();
        let exists = |month: u32| first <= LONGEST[month as usize - 1];
        if fields.month_of_year.values().any(exists) {
            return Ok(Self(fields));
        }
        Err(format!(
            "Invalid crontab: day_of_month {} never occurs in month_of_year {}.",
            fields.day_of_month.repr(),
            fields.month_of_year.repr()
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
