//! A message as it lies in Redis: the JSON object of kombu's virtual transports
//! (`kombu/transport/virtual/base.py`, `Channel.prepare_message`), its body in
//! base64.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::broker::Content;
use crate::message::{DeliveryInfo, Headers, Message, Properties};
use crate::value::lenient::{as_text, count, null_as_default, priority, text};
use crate::value::{DecodeError, json};

/// What is put into a queue.
#[derive(Serialize)]
struct Written<'a> {
    body: String,
    #[serde(rename = "content-encoding")]
    content_encoding: Option<&'a str>,
    #[serde(rename = "content-type")]
    content_type: Option<&'a str>,
    headers: &'a Headers,
    properties: WrittenProperties<'a>,
}

#[derive(Serialize)]
struct WrittenProperties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_mode: Option<u8>,
    delivery_info: &'a DeliveryInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<&'a Value>,
    body_encoding: &'static str,
    delivery_tag: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// What is found in a queue.
#[derive(Deserialize)]
struct Found {
    body: String,
    #[serde(rename = "content-encoding", default, deserialize_with = "text")]
    content_encoding: Option<String>,
    #[serde(rename = "content-type", default, deserialize_with = "text")]
    content_type: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    headers: Headers,
    properties: FoundProperties,
}

#[derive(Deserialize)]
struct FoundProperties {
    #[serde(default, deserialize_with = "null_as_default")]
    delivery_info: DeliveryInfo,
    /// `base64`, or absent for plain text.
    #[serde(default, deserialize_with = "text")]
    body_encoding: Option<String>,
    /// Told anew by whoever sends it again.
    #[serde(default)]
    delivery_tag: IgnoredAny,
    #[serde(default, deserialize_with = "text")]
    correlation_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    reply_to: Option<String>,
    #[serde(default, deserialize_with = "count")]
    delivery_mode: Option<u8>,
    #[serde(default, deserialize_with = "priority")]
    priority: Option<u8>,
    #[serde(default)]
    expiration: Option<Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// What lies in a queue. `tag`: unique for each sending, kombu's `delivery_tag`.
///
/// # Errors
/// If a header holds what JSON cannot.
pub fn encode(message: &Message, tag: &str) -> Result<Vec<u8>, serde_json::Error> {
    let properties = &message.properties;
    json::to_vec(&Written {
        // kombu does so whatever the format: `body_encoding` of virtual channels.
        body: BASE64_STANDARD.encode(&message.body),
        content_encoding: message.content_encoding.as_deref(),
        content_type: message.content_type.as_deref(),
        headers: &message.headers,
        properties: WrittenProperties {
            correlation_id: properties.correlation_id.as_deref(),
            reply_to: properties.reply_to.as_deref(),
            delivery_mode: properties.delivery_mode,
            delivery_info: &message.delivery_info,
            priority: properties.priority,
            expiration: properties.expiration.as_ref(),
            body_encoding: "base64",
            delivery_tag: tag,
            extra: &properties.extra,
        },
    })
}

/// Reads what lies in a queue. Whether it is a task message, only
/// [`Message::decode_body`] can tell.
///
/// # Errors
/// [`DecodeError::Envelope`] if it is no message, and [`DecodeError::Encoding`]
/// if its body is not what it says.
pub fn decode(payload: &[u8]) -> Result<Message, DecodeError> {
    let found: Found = json::from_slice(payload).map_err(DecodeError::Envelope)?;
    let body = found.read_body()?;
    Ok(found.with_body(body))
}

impl Found {
    fn read_body(&self) -> Result<Bytes, DecodeError> {
        match self.properties.body_encoding.as_deref() {
            Some("base64") => BASE64_STANDARD
                .decode(&self.body)
                .map(Bytes::from)
                .map_err(|error| DecodeError::Encoding(error.to_string())),
            _ => Ok(Bytes::copy_from_slice(self.body.as_bytes())),
        }
    }

    fn with_body(self, body: Bytes) -> Message {
        let properties = self.properties;
        // Whatever it is, it names the last sending.
        let IgnoredAny = properties.delivery_tag;
        Message {
            headers: self.headers,
            properties: Properties {
                correlation_id: properties.correlation_id,
                reply_to: properties.reply_to,
                delivery_mode: properties.delivery_mode,
                priority: properties.priority,
                expiration: properties.expiration,
                extra: properties.extra,
            },
            delivery_info: properties.delivery_info,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            body,
        }
    }
}

/// What can be read of a message that cannot be as a whole; `None` if even
/// its task's id is not among it.
fn salvage(payload: &[u8]) -> Option<Message> {
    let payload = json::without_lone_surrogates(payload);
    let value: Value = json::from_slice(&payload).ok()?;
    let found = json::from_value::<Found>(&value).map(|found| {
        let body = found.read_body().unwrap_or_default();
        found.with_body(body)
    });
    let message = found.unwrap_or_else(|_| {
        let headers = value.get("headers").unwrap_or(&Value::Null);
        let text = |name: &str| headers.get(name).cloned().and_then(as_text);
        let headers = json::from_value(headers).unwrap_or_else(|_| Headers {
            id: text("id").unwrap_or_default(),
            task: text("task").unwrap_or_default(),
            ..Headers::default()
        });
        Message {
            headers,
            ..Message::default()
        }
    });
    Some(message).filter(|message| !message.headers.id.is_empty())
}

/// The list that a message goes to is that of its priority; what cannot be read
/// goes to the one that is read first.
pub(super) fn priority_of(payload: &[u8]) -> u8 {
    let message = decode(payload).ok();
    let priority = message.and_then(|message| message.properties.priority);
    priority.unwrap_or(0)
}

/// The entry of a message that is held: itself, its exchange and its routing key.
pub(super) struct Entry {
    pub message: Vec<u8>,
    pub priority: u8,
    pub exchange: String,
    pub routing_key: String,
}

impl Entry {
    /// Reads it, to be put back: word for word, but marked as redelivered where
    /// kombu and Celery look for it.
    ///
    /// # Errors
    /// If it is no message.
    pub fn redelivered(entry: &[u8]) -> Result<Self, serde_json::Error> {
        let (mut message, exchange, routing_key): (Value, String, String) =
            json::from_slice(entry)?;
        let mark = |place: &mut Value| {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            if let Some(place) = place.as_object_mut() {
                place.insert("redelivered".to_owned(), true.into());
            }
        };
        let fields = message
            .as_object_mut()
            .ok_or_else(|| missing("a message"))?;
        mark(fields.entry("headers").or_insert(Value::Null));
        let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
        let properties = properties.ok_or_else(|| missing("`properties`"))?;
        mark(properties.entry("delivery_info").or_insert(Value::Null));
        let said = properties.get("priority").cloned().and_then(as_text);
        let priority = said.and_then(|said| said.parse().ok()).unwrap_or(0);
        Ok(Self {
            message: json::to_vec(&message)?,
            priority,
            exchange,
            routing_key,
        })
    }
}

fn missing(what: &str) -> serde_json::Error {
    serde::de::Error::custom(format_args!("{what} is missing"))
}

/// A message that was fetched, as it lay there: held for its eta it takes no
/// more memory than that.
#[derive(Debug)]
pub(super) struct Payload(pub Vec<u8>);

impl Content for Payload {
    fn read(&self) -> Result<Message, DecodeError> {
        decode(&self.0)
    }

    fn salvage(&self) -> Option<Message> {
        salvage(&self.0)
    }

    fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `Celery().send_task("t.add", (2, 2))` of Celery 5.7 leaves it in Redis.
    const FROM_PYTHON: &str = r#"{"body": "W1syLCAyXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogbnVsbCwgImNoYWluIjogbnVsbCwgImNob3JkIjogbnVsbH1d", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": "py", "task": "t.add", "id": "a1", "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": "a1", "parent_id": null, "argsrepr": "(2, 2)", "kwargsrepr": "{}", "origin": "gen1@h", "ignore_result": false, "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}}, "properties": {"correlation_id": "a1", "reply_to": "r", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "d1"}}"#;

    #[test]
    fn a_message_from_python_is_read_and_kept() -> Result<(), Box<dyn std::error::Error>> {
        let mut message = decode(FROM_PYTHON.as_bytes())?;
        let body = message.decode_body(&["json".to_owned()])?;
        assert_eq!(body.args, vec![2, 2]);
        let mut written: Value = serde_json::from_slice(&encode(&message, "d1")?)?;
        // Left out rather than null: both mean the same to kombu.
        let original: Value = serde_json::from_str(FROM_PYTHON)?;
        assert_eq!(written.as_object_mut(), original.clone().as_object_mut());
        Ok(())
    }

    #[test]
    fn what_is_no_message_says_why() {
        let broken = decode(b"{\"body\": ");
        assert!(matches!(broken, Err(DecodeError::Envelope(_))));
        let padded = FROM_PYTHON.replace("W1sy", "!1sy");
        let padded = decode(padded.as_bytes());
        assert!(matches!(padded, Err(DecodeError::Encoding(_))));
    }
}
