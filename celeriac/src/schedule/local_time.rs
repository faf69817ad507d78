//! Local times as Python's datetimes with a `ZoneInfo` have them: PEP 495,
//! and the arithmetic of Celery's `ffwd` on top of it.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// What a clock on the wall shows. Comparing two compares what they show.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalTime {
    pub wall: NaiveDateTime,
    /// Which of two instants is meant where the clock shows the same twice:
    /// `false` is the first.
    pub fold: bool,
    pub zone: Tz,
}

impl LocalTime {
    /// What the clock shows at `instant`. As `astimezone`.
    pub fn of(instant: DateTime<Utc>, zone: Tz) -> Self {
        let wall = instant.with_timezone(&zone).naive_local();
        let first = Self::first(wall, zone);
        // The other fold, if this one is another instant.
        Self {
            fold: first.to_utc() != instant,
            ..first
        }
    }

    /// The first time that the clock shows `wall`.
    pub fn first(wall: NaiveDateTime, zone: Tz) -> Self {
        Self {
            wall,
            fold: false,
            zone,
        }
    }

    /// The instant. One that the clock skips is reckoned with the offset from
    /// before the gap, or from after it with `fold`.
    pub fn to_utc(self) -> DateTime<Utc> {
        let (offsets, _) = self.offsets();
        (self.wall - offsets[usize::from(self.fold)]).and_utc()
    }

    /// Whether the clock never shows it.
    pub fn is_imaginary(self) -> bool {
        !self.offsets().1
    }

    /// What the clock shows instead of what it skips.
    pub fn resolved(self) -> Self {
        if !self.is_imaginary() {
            return self;
        }
        let offset = |wall| Self::first(wall, self.zone).offsets().0[0];
        let day = TimeDelta::days(1);
        self.plus(offset(self.wall + day) - offset(self.wall - day))
    }

    /// So much later on the same clock: `datetime + timedelta`, which forgets
    /// the fold.
    pub fn plus(self, delta: TimeDelta) -> Self {
        let wall = self.wall.checked_add_signed(delta);
        Self::first(wall.unwrap_or(NaiveDateTime::MAX), self.zone)
    }

    /// The offsets from UTC for the two folds, and whether the clock shows
    /// this at all.
    fn offsets(self) -> ([TimeDelta; 2], bool) {
        // Every offset is less than a day, so the instant lies between these.
        let day = TimeDelta::days(1);
        let before = offset_at(self.wall - day, self.zone);
        let after = offset_at(self.wall + day, self.zone);
        let shown = |offset| offset_at(self.wall - offset, self.zone) == offset;
        match (shown(before), shown(after)) {
            (true, false) => ([before, before], true),
            (false, true) => ([after, after], true),
            (shown, _) => ([before, after], shown),
        }
    }
}

/// The zone's offset from UTC at an instant in UTC.
fn offset_at(utc: NaiveDateTime, zone: Tz) -> TimeDelta {
    let seconds = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    TimeDelta::seconds(seconds.into())
}
