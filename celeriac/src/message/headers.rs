//! The headers of protocol 2 (`celery/app/amqp.py`, `as_task_v2`).

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::DecodeError;

/// A task message's headers. Those that Celeriac does not know are kept in
/// [`extra`](Self::extra) and passed on when a task is retried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Headers {
    /// Language of the producer: `py`, `rust`.
    #[serde(default)]
    pub lang: Option<String>,
    /// The task's name.
    #[serde(default)]
    pub task: String,
    /// The task's id, unique for ever.
    #[serde(default)]
    pub id: String,
    /// Another name to show in logs.
    #[serde(default)]
    pub shadow: Option<String>,
    /// Not to be run before (ISO 8601).
    #[serde(default)]
    pub eta: Option<String>,
    /// Not to be run after (ISO 8601).
    #[serde(default)]
    pub expires: Option<String>,
    /// Id of the group that the task is a member of.
    #[serde(default)]
    pub group: Option<String>,
    /// Its place in that group.
    #[serde(default)]
    pub group_index: Option<u64>,
    /// How often it has been retried.
    #[serde(default, deserialize_with = "null_as_default")]
    pub retries: u32,
    /// Hard and soft time limit, seconds; a `60` stays a `60`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub timelimit: (Option<Number>, Option<Number>),
    /// The first task of the workflow.
    #[serde(default)]
    pub root_id: Option<String>,
    /// The task that sent this one.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// The positional arguments, as Python prints them.
    #[serde(default)]
    pub argsrepr: Option<String>,
    /// The keyword arguments, as Python prints them.
    #[serde(default)]
    pub kwargsrepr: Option<String>,
    /// Nodename of the producer.
    #[serde(default)]
    pub origin: Option<String>,
    /// Whether the producer wants no result; `None` leaves it to the task.
    #[serde(default)]
    pub ignore_result: Option<bool>,
    /// How often the task has been replaced.
    #[serde(default, deserialize_with = "null_as_default")]
    pub replaced_task_nesting: u32,
    /// Names of the stamps.
    #[serde(default)]
    pub stamped_headers: Option<Vec<String>>,
    /// The stamps.
    #[serde(default)]
    pub stamps: Option<Map<String, Value>>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Headers {
    /// The header `eta` as an instant.
    pub fn eta(&self) -> Result<Option<DateTime<Utc>>, DecodeError> {
        instant("eta", self.eta.as_deref())
    }

    /// The header `expires` as an instant.
    pub fn expires(&self) -> Result<Option<DateTime<Utc>>, DecodeError> {
        instant("expires", self.expires.as_deref())
    }
}

/// An instant as Celery writes it: ISO 8601, and UTC if no zone is named.
fn instant(header: &'static str, text: Option<&str>) -> Result<Option<DateTime<Utc>>, DecodeError> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(Some(instant.to_utc()));
    }
    text.parse::<NaiveDateTime>()
        .map(|instant| Some(instant.and_utc()))
        .map_err(|error| DecodeError::Header {
            header,
            reason: format!("{text:?}: {error}"),
        })
}

/// Producers write `null` for what they leave out.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_headers_survive() -> Result<(), serde_json::Error> {
        let text =
            r#"{"task":"t","id":"1","retries":null,"timelimit":[null,1.5],"tenant":{"a":1}}"#;
        let headers: Headers = serde_json::from_str(text)?;
        assert_eq!(headers.timelimit, (None, Number::from_f64(1.5)));
        let written = serde_json::to_value(&headers)?;
        assert_eq!(written["tenant"]["a"], 1);
        Ok(())
    }

    #[test]
    fn instants_are_read_with_and_without_a_zone() -> Result<(), DecodeError> {
        let read = |text| instant("eta", Some(text));
        assert_eq!(
            read("2026-01-02T03:04:05.5")?,
            read("2026-01-02T05:04:05.500000+02:00")?
        );
        assert!(read("tomorrow").is_err());
        Ok(())
    }
}
