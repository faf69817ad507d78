//! Messages of protocol 1, where the body says everything, and of the hybrid
//! whose headers repeat it: both are turned into protocol 2 here, so that
//! nothing else knows of them (`celery/worker/strategy.py`).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Body, Embed, Headers};
use crate::canvas::Signature;
use crate::value::{json, saferepr};

/// What the body of protocol 1 says beside what headers say.
#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    kwargs: Map<String, Value>,
    #[serde(default)]
    callbacks: Option<Vec<Signature>>,
    #[serde(default)]
    errbacks: Option<Vec<Signature>>,
    #[serde(default)]
    chord: Option<Signature>,
    /// Protocol 1's name for a group.
    #[serde(default)]
    taskset: Option<Value>,
}

/// The body's keys that are no headers; `utc` says what is always so.
const NO_HEADERS: [&str; 7] = [
    "args",
    "kwargs",
    "callbacks",
    "errbacks",
    "chord",
    "taskset",
    "utc",
];

/// The headers and the body of protocol 2. What the message's own headers say
/// wins over the body.
pub(super) fn to_protocol2(
    headers: &Headers,
    body: Map<String, Value>,
) -> Result<(Headers, Body), serde_json::Error> {
    let call: Call = json::from_map(&body)?;
    let mut said: Map<String, Value> = body
        .into_iter()
        .filter(|(key, _)| !NO_HEADERS.contains(&key.as_str()))
        .collect();
    if let Some(group) = call
        .taskset
        .filter(|_| !said.get("group").is_some_and(says_something))
    {
        said.insert("group".to_owned(), group);
    }
    if let Value::Object(own) = serde_json::to_value(headers)? {
        said.extend(own.into_iter().filter(|(_, value)| says_something(value)));
    }
    let mut headers: Headers = serde_json::from_value(said.into())?;
    headers
        .argsrepr
        .get_or_insert_with(|| saferepr::args(&call.args));
    headers
        .kwargsrepr
        .get_or_insert_with(|| saferepr::kwargs(&call.kwargs));
    let embed = Embed {
        callbacks: call.callbacks,
        errbacks: call.errbacks,
        chord: call.chord,
        ..Embed::default()
    };
    Ok((
        headers,
        Body {
            args: call.args,
            kwargs: call.kwargs,
            embed,
        },
    ))
}

/// Whether a header is more than what its absence would be read as.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(says_something),
        Value::Bool(true) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Error, json};

    fn read(headers: Value, body: Value) -> Result<(Headers, Body), Error> {
        to_protocol2(
            &serde_json::from_value(headers)?,
            serde_json::from_value(body)?,
        )
    }

    /// The body is what `app.amqp.as_task_v1` of Celery 5.7 makes.
    #[test]
    fn the_body_becomes_headers() -> Result<(), Error> {
        let body = json!({
            "task": "t.add", "id": "a", "args": [1], "kwargs": {"y": 2}, "group": null,
            "group_index": null, "retries": 2, "eta": "2026-01-02T03:04:05+00:00",
            "expires": null, "utc": true, "callbacks": [{"task": "t.next"}], "errbacks": null,
            "timelimit": [null, 1.5], "taskset": "g", "chord": {"task": "t.body"},
        });
        let (headers, read_body) = read(json!({"x": 1}), body)?;
        let (task, id, retries) = (headers.task.as_str(), headers.id.as_str(), headers.retries);
        assert_eq!((task, id, retries), ("t.add", "a", 2));
        assert_eq!(headers.group.as_deref(), Some("g"));
        assert_eq!(headers.argsrepr.as_deref(), Some("(1,)"));
        assert_eq!(
            headers.extra,
            json!({"x": 1}).as_object().cloned().unwrap_or_default()
        );
        assert_eq!(read_body.embed.chord, Some(Signature::new("t.body")));
        Ok(())
    }

    #[test]
    fn headers_win_over_the_body() -> Result<(), Error> {
        let body = json!({"task": "t.body", "id": "b", "args": [], "retries": 3});
        let (headers, _) = read(json!({"task": "t.head", "id": "h"}), body)?;
        assert_eq!((headers.task.as_str(), headers.retries), ("t.head", 3));
        assert!(read(json!({}), json!({"args": [], "kwargs": [1]})).is_err());
        Ok(())
    }
}
