//! Messages that are no tasks, as they lie in Redis.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::broker::Notice;
use crate::value::{Serializer, json};

/// A notice as kombu writes it (`virtual.Channel.prepare_message`).
#[derive(Serialize, Deserialize)]
struct Wire {
    body: String,
    #[serde(rename = "content-encoding", default)]
    content_encoding: Option<String>,
    #[serde(rename = "content-type", default)]
    content_type: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    properties: WireProperties,
}

#[derive(Serialize, Deserialize)]
struct WireProperties {
    #[serde(default)]
    delivery_mode: u8,
    delivery_info: Address,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    body_encoding: Option<String>,
    #[serde(default)]
    delivery_tag: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Address {
    exchange: String,
    #[serde(default)]
    routing_key: Option<String>,
}

/// The message that kombu would leave.
pub(super) fn encode(notice: &Notice) -> Result<Vec<u8>, serde_json::Error> {
    let serializer = notice.serializer;
    let body = match serializer {
        Serializer::Json => Cow::Borrowed(&notice.body),
        other => Cow::Owned(other.dumps(&json::from_slice::<Value>(&notice.body)?)?),
    };
    json::to_vec(&Wire {
        body: BASE64_STANDARD.encode(&*body),
        content_encoding: Some(serializer.content_encoding().to_owned()),
        content_type: Some(serializer.content_type().to_owned()),
        headers: notice.headers.clone(),
        properties: WireProperties {
            delivery_mode: 1,
            delivery_info: Address {
                exchange: notice.exchange.clone(),
                routing_key: Some(notice.routing_key.clone()),
            },
            priority: Some(0),
            body_encoding: Some("base64".to_owned()),
            delivery_tag: Some(Uuid::new_v4().to_string().into()),
        },
    })
}

/// Reads a message that is no task, as kombu writes it. `None`: nobody but
/// Python can read it.
pub fn decode(payload: &[u8]) -> Option<Notice> {
    let wire: Wire = json::from_slice(payload).ok()?;
    let serializer = match wire.content_type.as_deref() {
        None => Serializer::Json,
        Some(content_type) => Serializer::of_content_type(content_type)?,
    };
    let raw = match wire.properties.body_encoding.as_deref() {
        Some("base64") => BASE64_STANDARD.decode(&wire.body).ok()?,
        _ => wire.body.into_bytes(),
    };
    let body = match serializer {
        Serializer::Json => raw,
        other => json::to_vec(&other.loads::<Value>(&raw).ok()?).ok()?,
    };
    let Address {
        exchange,
        routing_key,
    } = wire.properties.delivery_info;
    Some(Notice {
        exchange,
        routing_key: routing_key.unwrap_or_default(),
        headers: wire.headers,
        serializer,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Celery 5.7 publishes it.
    const FROM_PYTHON: &str = r#"{"body": "eyJ0eXBlIjogIndvcmtlci1vbmxpbmUifQ==", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"hostname": "a@b"}, "properties": {"delivery_mode": 1, "delivery_info": {"exchange": "celeryev", "routing_key": "worker.online"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "d"}}"#;

    #[test]
    fn writes_what_python_writes() -> Result<(), Box<dyn std::error::Error>> {
        let notice = decode(FROM_PYTHON.as_bytes()).ok_or("not decoded")?;
        assert_eq!(notice.routing_key, "worker.online");
        assert_eq!(notice.body, br#"{"type": "worker-online"}"#);
        let mut written: Value = serde_json::from_slice(&encode(&notice)?)?;
        written["properties"]["delivery_tag"] = "d".into();
        assert_eq!(written, serde_json::from_str::<Value>(FROM_PYTHON)?);
        Ok(())
    }

    #[test]
    fn the_body_is_json_here_whatever_it_is_on_its_way() -> Result<(), Box<dyn std::error::Error>> {
        let notice = decode(FROM_PYTHON.as_bytes()).ok_or("not decoded")?;
        for serializer in [Serializer::Msgpack, Serializer::Yaml] {
            let written = encode(&Notice {
                serializer,
                ..notice.clone()
            })?;
            let read = decode(&written).ok_or("not decoded")?;
            assert_eq!(read.serializer, serializer);
            assert_eq!(read.body, br#"{"type":"worker-online"}"#);
        }
        Ok(())
    }

    #[test]
    fn pickled_notices_are_not_read() {
        let pickled = FROM_PYTHON.replace("application/json", "application/x-python-serialize");
        assert_eq!(decode(pickled.as_bytes()), None);
    }
}
