//! The ways in which a producer may write an instant.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// An instant: RFC 3339, or Python's `isoformat()` without a zone, which is
/// taken as UTC, or Celery's JSON form of a `datetime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct StartTime(DateTime<Utc>);

/// As found in a message.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Celery {
        #[serde(rename = "__value__")]
        value: String,
    },
}

impl TryFrom<Written> for StartTime {
    type Error = chrono::ParseError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let (Written::Text(text) | Written::Celery { value: text }) = written;
        let zoned = DateTime::parse_from_rfc3339(&text).map(|instant| instant.to_utc());
        zoned
            .or_else(|_| text.parse::<NaiveDateTime>().map(|naive| naive.and_utc()))
            .map(Self)
    }
}

impl From<StartTime> for DateTime<Utc> {
    fn from(start: StartTime) -> Self {
        start.0
    }
}

impl From<DateTime<Utc>> for StartTime {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}
