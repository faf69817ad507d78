//! Instants as `dateutil.parser.isoparse` reads them, which Celery leaves
//! `eta` and `expires` to, ISO 8601 in all its forms; and as Python's
//! `isoformat` writes them.

use std::sync::LazyLock;

use chrono::format::{DelayedFormat, StrftimeItems};
use chrono::{
    DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta,
    TimeZone, Timelike, Utc, Weekday,
};
use regex::{Captures, Regex};

static ISO_8601: LazyLock<Regex> = LazyLock::new(|| {
    let date = r"(?<year>[0-9]{4})(?:-?W(?<week>[0-9]{2})(?:-?(?<weekday>[1-7]))?|-(?<month>[0-9]{2})(?:-(?<day>[0-9]{2}))?|(?<month2>[0-9]{2})(?<day2>[0-9]{2})|-?(?<ordinal>[0-9]{3}))?";
    let time = r"(?<hour>[0-9]{2})(?::?(?<minute>[0-9]{2})(?::?(?<second>[0-9]{2})(?:[.,](?<fraction>[0-9]+))?)?)?";
    let zone = r"(?:[Zz]|(?<sign>[-+])(?<hours>[0-9]{2})(?::?(?<minutes>[0-9]{2}))?)";
    Regex::new(&format!("^{date}(?:.{time}{zone}?)?$")).expect("a constant that tests compile")
});

/// As `datetime.isoformat()`: six digits of a second, or none.
pub(crate) fn isoformat<Z: TimeZone>(instant: &DateTime<Z>) -> String {
    let offset = instant.offset().fix();
    format!("{}{offset}", isoformat_naive(instant.naive_local()))
}

/// The same of a time that is in no zone.
pub(super) fn isoformat_naive(local: NaiveDateTime) -> String {
    format!("{}T{}", local.date(), isoformat_time(local.time()))
}

/// As `time.isoformat()`.
pub(super) fn isoformat_time(time: NaiveTime) -> DelayedFormat<StrftimeItems<'static>> {
    // Python's clock knows nothing finer, and its older readers refuse it.
    match time.nanosecond() / 1000 {
        0 => time.format("%H:%M:%S"),
        _ => time.format("%H:%M:%S%.6f"),
    }
}

/// The instant in a text; UTC if it names no zone.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.to_utc());
    }
    let found = ISO_8601.captures(text)?;
    let local = date(&found)?.and_time(chrono::NaiveTime::MIN);
    let local = local.checked_add_signed(time(&found)?)?;
    zoned(&found, local)
}

/// The instant in a text as Python shows it: at the offset that the text names,
/// else in `zone`.
pub(crate) fn shown(text: &str, zone: chrono_tz::Tz) -> Option<String> {
    let instant = parse(text)?;
    Some(match offset(text) {
        Some(offset) => isoformat(&instant.with_timezone(&offset)),
        None => isoformat(&instant.with_timezone(&zone)),
    })
}

fn offset(text: &str) -> Option<FixedOffset> {
    if text.ends_with(['Z', 'z']) {
        return FixedOffset::east_opt(0);
    }
    let found = ISO_8601.captures(text)?;
    let sign = found.name("sign")?.as_str();
    let (hours, minutes) = (number(&found, "hours")?, number(&found, "minutes"));
    let seconds = i32::try_from((hours * 60 + minutes.unwrap_or(0)) * 60).ok()?;
    FixedOffset::east_opt(if sign == "-" { -seconds } else { seconds })
}

fn number(found: &Captures<'_>, group: &str) -> Option<u32> {
    found.name(group)?.as_str().parse().ok()
}

fn date(found: &Captures<'_>) -> Option<NaiveDate> {
    let year = number(found, "year")?.try_into().ok()?;
    if let Some(week) = number(found, "week") {
        let days = number(found, "weekday").unwrap_or(1) - 1;
        let monday = NaiveDate::from_isoywd_opt(year, week, Weekday::Mon)?;
        return monday.checked_add_days(Days::new(days.into()));
    }
    if let Some(ordinal) = number(found, "ordinal") {
        return NaiveDate::from_yo_opt(year, ordinal);
    }
    let month = number(found, "month").or_else(|| number(found, "month2"));
    let day = number(found, "day").or_else(|| number(found, "day2"));
    NaiveDate::from_ymd_opt(year, month.unwrap_or(1), day.unwrap_or(1))
}

/// The time since midnight; 24:00 is the next one.
fn time(found: &Captures<'_>) -> Option<TimeDelta> {
    let [hour, minute, second] =
        ["hour", "minute", "second"].map(|group| number(found, group).unwrap_or(0));
    let fraction = found.name("fraction").map_or("", |digits| digits.as_str());
    let micros: u32 = format!("{fraction:0<6.6}").parse().ok()?;
    let of_day = (hour * 60 + minute) * 60 + second;
    let fits = minute < 60 && second < 60 && (hour < 24 || (of_day == 86_400 && micros == 0));
    fits.then(|| TimeDelta::seconds(of_day.into()) + TimeDelta::microseconds(micros.into()))
}

fn zoned(found: &Captures<'_>, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let (hours, minutes) = (number(found, "hours"), number(found, "minutes"));
    let (hours, minutes) = (hours.unwrap_or(0), minutes.unwrap_or(0));
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = TimeDelta::minutes((hours * 60 + minutes).into());
    let utc = match found.name("sign").map(|sign| sign.as_str()) {
        Some("-") => local.checked_add_signed(offset),
        _ => local.checked_sub_signed(offset),
    };
    utc.map(|utc| utc.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_written_if_there_are_any() -> Result<(), chrono::ParseError> {
        for (exact, written) in [
            (
                "2001-02-03T04:05:06.123456789Z",
                "2001-02-03T04:05:06.123456+00:00",
            ),
            (
                "2001-02-03T04:05:06.000000789-02:30",
                "2001-02-03T04:05:06-02:30",
            ),
        ] {
            assert_eq!(isoformat(&DateTime::parse_from_rfc3339(exact)?), written);
        }
        Ok(())
    }

    #[test]
    fn an_instant_is_shown_where_it_was_meant() {
        let tokyo = chrono_tz::Asia::Tokyo;
        for (text, seen) in [
            ("2001-02-03T04:05:06", "2001-02-03T13:05:06+09:00"),
            ("2001-02-03T04:05:06.5Z", "2001-02-03T04:05:06.500000+00:00"),
            ("2001-02-03T04:05:06-02:30", "2001-02-03T04:05:06-02:30"),
            ("2001-02-03T04+0530", "2001-02-03T04:00:00+05:30"),
        ] {
            assert_eq!(shown(text, tokyo).as_deref(), Some(seen), "{text}");
        }
        assert_eq!(shown("tomorrow", tokyo), None);
    }

    /// What `dateutil.parser.isoparse` of dateutil 2.9 makes of each.
    #[test]
    fn every_form_is_read() {
        let forms = [
            ("2001-02-03T04:05:06", "2001-02-03T04:05:06+00:00"),
            (
                "2001-02-03 04:05:06,7890129",
                "2001-02-03T04:05:06.789012+00:00",
            ),
            ("20010203T040506Z", "2001-02-03T04:05:06+00:00"),
            ("2001-02-03T0405-0230", "2001-02-03T06:35:00+00:00"),
            ("2001-02-03T04+02", "2001-02-03T02:00:00+00:00"),
            ("2001-W05-6T24:00", "2001-02-04T00:00:00+00:00"),
            ("2001W05", "2001-01-29T00:00:00+00:00"),
            ("2001034", "2001-02-03T00:00:00+00:00"),
            ("2001-02", "2001-02-01T00:00:00+00:00"),
            ("2001", "2001-01-01T00:00:00+00:00"),
        ];
        for (text, meant) in forms {
            let read = parse(text).map(|instant| instant.to_rfc3339());
            assert_eq!(read.as_deref(), Some(meant), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "200102",
            "2001-02-30",
            "2001-02-03T24:01",
            "2001-02-03T25",
            "２００１",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
