//! The headers of protocol 2 (`celery/app/amqp.py`, `as_task_v2`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::value::lenient::{count, count_or_zero, flag, if_fit, limits, name, text, texts};
use crate::value::{DecodeError, instant};

/// A task message's headers. Those that Celeriac does not know are kept in
/// [`extra`](Self::extra) and passed on when a task is retried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Headers {
    /// Language of the producer: `py`, `rust`.
    #[serde(default, deserialize_with = "text")]
    pub lang: Option<String>,
    /// The task's name.
    #[serde(default, deserialize_with = "name")]
    pub task: String,
    /// The task's id, unique for ever.
    #[serde(default, deserialize_with = "name")]
    pub id: String,
    /// Another name to show in logs.
    #[serde(default, deserialize_with = "text")]
    pub shadow: Option<String>,
    /// Not to be run before (ISO 8601).
    #[serde(default, deserialize_with = "text")]
    pub eta: Option<String>,
    /// Not to be run after (ISO 8601).
    #[serde(default, deserialize_with = "text")]
    pub expires: Option<String>,
    /// Id of the group that the task is a member of.
    #[serde(default, deserialize_with = "text")]
    pub group: Option<String>,
    /// Its place in that group.
    #[serde(default, deserialize_with = "count")]
    pub group_index: Option<u64>,
    /// How often it has been retried.
    #[serde(default, deserialize_with = "count_or_zero")]
    pub retries: u32,
    /// Hard and soft time limit, seconds; a `60` stays a `60`.
    #[serde(default, deserialize_with = "limits")]
    pub timelimit: (Option<Number>, Option<Number>),
    /// The first task of the workflow.
    #[serde(default, deserialize_with = "text")]
    pub root_id: Option<String>,
    /// The task that sent this one.
    #[serde(default, deserialize_with = "text")]
    pub parent_id: Option<String>,
    /// The positional arguments, as Python prints them.
    #[serde(default, deserialize_with = "text")]
    pub argsrepr: Option<String>,
    /// The keyword arguments, as Python prints them.
    #[serde(default, deserialize_with = "text")]
    pub kwargsrepr: Option<String>,
    /// Nodename of the producer.
    #[serde(default, deserialize_with = "text")]
    pub origin: Option<String>,
    /// Whether the producer wants no result; `None` leaves it to the task.
    #[serde(default, deserialize_with = "flag")]
    pub ignore_result: Option<bool>,
    /// How often the task has been replaced.
    #[serde(default, deserialize_with = "count_or_zero")]
    pub replaced_task_nesting: u32,
    /// Names of the stamps.
    #[serde(default, deserialize_with = "texts")]
    pub stamped_headers: Option<Vec<String>>,
    /// The stamps.
    #[serde(default, deserialize_with = "if_fit")]
    pub stamps: Option<Map<String, Value>>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Headers {
    /// The name to show: `shadow`, if there is one.
    pub fn shown(&self) -> &str {
        let shadow = self.shadow.as_deref().filter(|name| !name.is_empty());
        shadow.unwrap_or(&self.task)
    }

    /// The header `eta` as an instant.
    pub fn eta(&self) -> Result<Option<DateTime<Utc>>, DecodeError> {
        read_instant("eta", self.eta.as_deref())
    }

    /// `eta` and `expires` as Python shows them: at the offsets that the sender
    /// gave them, in `zone` if it gave none.
    pub(crate) fn times(&self, zone: chrono_tz::Tz) -> [Option<String>; 2] {
        [&self.eta, &self.expires].map(|text| instant::shown(text.as_deref()?, zone))
    }

    /// The header `expires` as an instant.
    pub fn expires(&self) -> Result<Option<DateTime<Utc>>, DecodeError> {
        read_instant("expires", self.expires.as_deref())
    }

    /// The property `expiration`, by which a broker may drop a message: the
    /// milliseconds left, 0 if they are over; `None` if it does not expire.
    pub(crate) fn expiration(&self) -> Option<String> {
        let expires = self.expires().ok()??;
        // Rounded, for the clock has gone on since `expires` was told from it.
        let left = (expires - Utc::now()).num_microseconds();
        let left = left.map_or(i64::MAX, |left| left.saturating_add(500) / 1000);
        Some(left.max(0).to_string())
    }
}

/// An instant in a header; an empty one is none.
fn read_instant(
    header: &'static str,
    text: Option<&str>,
) -> Result<Option<DateTime<Utc>>, DecodeError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match instant::parse(text) {
        Some(instant) => Ok(Some(instant)),
        None => Err(DecodeError::Header {
            header,
            reason: format!("{text:?} is no instant of ISO 8601"),
        }),
    }
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
    fn a_header_may_say_nothing() -> Result<(), Box<dyn std::error::Error>> {
        let text =
            r#"{"retries":2.0,"timelimit":[],"group_index":null,"ignore_result":1,"eta":""}"#;
        let headers: Headers = serde_json::from_str(text)?;
        assert_eq!((headers.retries, headers.ignore_result), (2, Some(true)));
        assert_eq!(headers.timelimit, (None, None));
        assert_eq!(headers.eta()?, None);
        Ok(())
    }
}
