//! `celery.schedules.schedule`: every so often.

use std::fmt::Display;

use chrono::{DateTime, DurationRound, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Due;
use super::local_time::LocalTime;

const DAY: TimeDelta = TimeDelta::days(1);
const HOUR: TimeDelta = TimeDelta::hours(1);
const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// The longest interval, in microseconds.
const LONGEST: i64 = 100 * 365 * 86_400_000_000;

/// The time between two runs, more than 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Interval(TimeDelta);

impl Interval {
    /// Whether it is over at `now` after a run at `last_run_at`, and when to
    /// look again. `relative` counts from whole days, hours or minutes of the
    /// zone's clocks, whichever is the longest that fits into the interval.
    pub(super) fn is_due(
        self,
        last_run_at: DateTime<Utc>,
        now: DateTime<Utc>,
        relative: Option<Tz>,
    ) -> Due {
        let end = |start: DateTime<Utc>| match relative {
            Some(zone) => self.relative_end(start, zone),
            None => start + self.0,
        };
        let left = end(last_run_at) - now;
        if left > TimeDelta::zero() {
            return Due {
                is_due: false,
                next: left,
            };
        }
        let next = relative.map_or(self.0, |_| end(now) - now);
        Due {
            is_due: true,
            // A boundary within the second that has begun is already past.
            next: if next > TimeDelta::zero() {
                next
            } else {
                self.0
            },
        }
    }

    /// The last whole boundary not after the interval's end.
    fn relative_end(self, start: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let local = LocalTime::of(start, zone);
        if self.0 >= DAY {
            // Days of the calendar, however many hours they have.
            let end = local.plus(self.0);
            let future = self.boundaries(end).into_iter().filter(|&at| at > start);
            return future.min().unwrap_or_else(|| end.to_utc());
        }
        let end = start + self.0;
        let local_end = LocalTime::of(end, zone);
        let mut boundaries = self.boundaries(local_end).to_vec();
        let rounded = last_until(&boundaries, end);
        let rounded = rounded.or(boundaries.iter().min().copied()).unwrap_or(end);
        if self.0 < MINUTE || rounded > start {
            return rounded;
        }
        // A clock that is put back by part of an hour can put the boundary
        // before the start: then it is the next one, or the calendar's.
        let unit = if self.0 >= HOUR { HOUR } else { MINUTE };
        boundaries.extend(self.boundaries(local_end.plus(unit)));
        boundaries.extend(self.boundaries(local.plus(self.0)));
        boundaries.retain(|&at| at > start);
        let rounded = last_until(&boundaries, end);
        rounded.or(boundaries.iter().min().copied()).unwrap_or(end)
    }

    /// Both times that the clock shows the boundary before `end`.
    fn boundaries(self, end: LocalTime) -> [DateTime<Utc>; 2] {
        let wall = self.rounded(end.wall);
        [false, true].map(|fold| {
            let boundary = LocalTime { wall, fold, ..end };
            let resolved = boundary.resolved();
            let later = resolved.wall > wall;
            if later { resolved } else { boundary }.to_utc()
        })
    }

    /// As `delta_resolution`.
    fn rounded(self, wall: NaiveDateTime) -> NaiveDateTime {
        let unit = [DAY, HOUR, MINUTE].into_iter().find(|&unit| self.0 >= unit);
        let unit = unit.unwrap_or(TimeDelta::seconds(1));
        // Units divide the day, which every date begins anew.
        wall.duration_trunc(unit).unwrap_or(wall)
    }
}

/// The last of `times` that is not after `end`.
fn last_until(times: &[DateTime<Utc>], end: DateTime<Utc>) -> Option<DateTime<Utc>> {
    times.iter().filter(|&&at| at <= end).max().copied()
}

impl TryFrom<f64> for Interval {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        let microseconds = (seconds * 1e6).round_ties_even() as i64;
        if (1..=LONGEST).contains(&microseconds) {
            return Ok(Self(TimeDelta::microseconds(microseconds)));
        }
        Err("an interval must be more than 0 seconds, and less than a century".to_owned())
    }
}

impl From<Interval> for f64 {
    fn from(interval: Interval) -> Self {
        interval.0.as_seconds_f64()
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "every {} s", f64::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_interval_counts_from_whole_minutes() -> Result<(), Box<dyn std::error::Error>> {
        let minute = Interval::try_from(60.0)?;
        let last = "2026-03-10T10:07:13Z".parse()?;
        let due = |relative| minute.is_due(last, last, relative).next;
        assert_eq!(due(None), TimeDelta::seconds(60));
        assert_eq!(due(Some(chrono_tz::UTC)), TimeDelta::seconds(47));
        Ok(())
    }

    #[test]
    fn no_time_is_no_interval() {
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Interval::try_from(seconds).is_err(), "{seconds}");
        }
    }
}
