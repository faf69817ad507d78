//! Messages of Celery's
//! [protocol 2](https://docs.celeryq.dev/en/stable/internals/protocol.html),
//! whatever broker they go through.
//!
//! - [`Message`]: what is sent; body still as it is written
//! - [`Request`]: what it asks for, read
//! - [`Headers`]: what is known of a task before its body is read
//! - [`Properties`], [`DeliveryInfo`]: what brokers know of it
//! - [`Body`]: arguments and what to do afterwards

mod body;
mod headers;
mod properties;
mod protocol1;
mod request;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use body::{Body, Embed};
pub use headers::Headers;
pub use properties::{DeliveryInfo, Properties};
pub use request::{FailedRequest, Request};

use crate::value::json;
use crate::value::{Compression, DecodeError, Format, Serializer};

/// The header that names the body's compression.
const COMPRESSION: &str = "compression";

/// A message, and nothing of how it lies at a broker. As `kombu.Message`.
///
/// ```
/// use celeriac::message::{Body, Headers, Message};
/// let headers = Headers { id: "1".into(), task: "tasks.add".into(), ..Headers::default() };
/// let mut message = Message::new(headers, &Body::default(), "celery", 0)?;
/// assert_eq!(&message.body[..3], b"[[]");
/// assert_eq!(message.decode_body(&["json".into()])?, Body::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The task's headers.
    pub headers: Headers,
    /// What it says of itself beside them.
    pub properties: Properties,
    /// Where it was sent.
    #[serde(default)]
    pub delivery_info: DeliveryInfo,
    /// Format of the body.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Character set of the body, or `binary`.
    #[serde(default)]
    pub content_encoding: Option<String>,
    /// The body, serialised, and compressed if the header `compression` says so.
    #[serde(with = "in_base64")]
    pub body: Bytes,
}

impl Message {
    /// A JSON task message for `queue`, as `app.amqp.send_task_message` makes it.
    pub fn new(
        headers: Headers,
        body: &Body,
        queue: &str,
        priority: u8,
    ) -> Result<Self, serde_json::Error> {
        Self::with_format(headers, body, queue, priority, Format::default())
    }

    /// As [`new`](Self::new), with the body in another format.
    ///
    /// # Errors
    /// If the body holds what the format has no type for.
    pub fn with_format(
        headers: Headers,
        body: &Body,
        queue: &str,
        priority: u8,
        format: Format,
    ) -> Result<Self, serde_json::Error> {
        let mut message = Self {
            properties: Properties {
                correlation_id: Some(headers.id.clone()),
                reply_to: Some(String::new()),
                delivery_mode: Some(2),
                priority: Some(priority),
                expiration: headers.expiration().map(Value::from),
                extra: Map::new(),
            },
            delivery_info: DeliveryInfo {
                routing_key: Some(queue.to_owned()),
                ..DeliveryInfo::default()
            },
            headers,
            ..Self::default()
        };
        message.set_body(body, format)?;
        Ok(message)
    }

    /// Puts another body in, written as this one is.
    pub(crate) fn rewrite(&mut self, body: &Body) -> Result<(), serde_json::Error> {
        let named = |name: &Value| Compression::named(name.as_str()?);
        let content_type = self.content_type.as_deref().unwrap_or_default();
        let format = Format {
            serializer: Serializer::of_content_type(content_type).unwrap_or_default(),
            compression: self.headers.extra.get(COMPRESSION).and_then(named),
        };
        self.set_body(body, format)
    }

    fn set_body(&mut self, body: &Body, format: Format) -> Result<(), serde_json::Error> {
        self.body = format.dumps(body)?.into();
        self.content_type = Some(format.serializer.content_type().to_owned());
        self.content_encoding = Some(format.serializer.content_encoding().to_owned());
        self.headers.extra.remove(COMPRESSION);
        if let Some(method) = format.compression {
            let name = method.content_type().into();
            self.headers.extra.insert(COMPRESSION.to_owned(), name);
        }
        Ok(())
    }

    /// The arguments and what follows, if `accept`, a list of names and
    /// content types, has the body's. A message of protocol 1 becomes one of
    /// protocol 2.
    pub fn decode_body(&mut self, accept: &[String]) -> Result<Body, DecodeError> {
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        let serializer = Serializer::accepted(content_type, accept)?;
        let raw = self.raw_body()?;
        let body = if serializer == Serializer::Json && raw.first() == Some(&b'[') {
            json::from_slice(&raw).map_err(DecodeError::Body)?
        } else {
            match serializer.loads(&raw).map_err(DecodeError::Body)? {
                Value::Object(call) if self.is_protocol1(&call) => {
                    self.upgrade(call, serializer).map_err(DecodeError::Body)?
                }
                body => json::from_value(&body).map_err(DecodeError::Body)?,
            }
        };
        self.check()?;
        Ok(body)
    }

    /// The body's bytes, before any compression.
    fn raw_body(&self) -> Result<Cow<'_, [u8]>, DecodeError> {
        let Some(name) = self.headers.extra.get(COMPRESSION).and_then(Value::as_str) else {
            return Ok(Cow::Borrowed(&self.body));
        };
        match Compression::named(name) {
            Some(method) => Ok(method.decompress(&self.body)?.into()),
            None => Err(DecodeError::Encoding(format!(
                "unknown compression {name:?}"
            ))),
        }
    }

    /// Where the headers name no task, and where the body has arguments all
    /// the same: the hybrid.
    fn is_protocol1(&self, call: &Map<String, Value>) -> bool {
        self.headers.task.is_empty() || call.contains_key("args")
    }

    fn upgrade(
        &mut self,
        call: Map<String, Value>,
        serializer: Serializer,
    ) -> Result<Body, serde_json::Error> {
        let (headers, body) = protocol1::to_protocol2(&self.headers, call)?;
        self.headers = headers;
        let format = Format {
            serializer,
            compression: None,
        };
        self.set_body(&body, format)?;
        Ok(body)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let needed = [("task", &self.headers.task), ("id", &self.headers.id)];
        match needed.into_iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(DecodeError::NotATask(name)),
            None => Ok(()),
        }
    }

    /// Whether the broker has delivered the message before.
    pub fn redelivered(&self) -> bool {
        self.delivery_info.redelivered.unwrap_or(false)
    }

    /// Marks the message as delivered before, where kombu and Celery look for it.
    pub fn mark_redelivered(&mut self) {
        let headers = &mut self.headers.extra;
        headers.insert("redelivered".to_owned(), true.into());
        self.delivery_info.redelivered = Some(true);
    }
}

/// A body in JSON, for files and pipes.
mod in_base64 {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use bytes::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(body))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let body = String::deserialize(deserializer)?;
        let body = BASE64_STANDARD.decode(body).map_err(D::Error::custom)?;
        Ok(body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Result<Message, serde_json::Error> {
        let headers = Headers {
            id: "a1".to_owned(),
            task: "t.add".to_owned(),
            ..Headers::default()
        };
        Message::new(headers, &Body::default(), "celery", 0)
    }

    #[test]
    fn what_cannot_be_read_says_why() -> Result<(), Box<dyn std::error::Error>> {
        let accept = ["json".to_owned()];
        let mut nameless = message()?;
        nameless.headers.task.clear();
        assert!(matches!(
            nameless.decode_body(&accept),
            Err(DecodeError::NotATask("task"))
        ));
        let mut message = message()?;
        message.body = Bytes::from_static(b"[]");
        assert!(matches!(
            message.decode_body(&accept),
            Err(DecodeError::Body(_))
        ));
        message.content_type = Some("application/x-python-serialize".to_owned());
        let refused = message.decode_body(&accept);
        assert!(matches!(refused, Err(DecodeError::ContentDisallowed(_))));
        Ok(())
    }
}
