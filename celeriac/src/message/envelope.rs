//! The JSON object that kombu puts into a queue
//! (`kombu/transport/virtual/base.py`, `Channel.prepare_message`).

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::lenient::{as_text, count, flag, name, null_as_default, priority, text};
use super::{Body, Compression, DecodeError, Format, Headers, Serializer, json, protocol1};

/// The header that names the body's compression.
const COMPRESSION: &str = "compression";

/// A message as it lies in a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The body, encoded as the properties' `body_encoding` says.
    pub body: String,
    /// Character set of the body.
    #[serde(rename = "content-encoding", default, deserialize_with = "text")]
    pub content_encoding: Option<String>,
    /// Format of the body.
    #[serde(rename = "content-type", default, deserialize_with = "text")]
    pub content_type: Option<String>,
    /// The task's headers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub headers: Headers,
    /// The message's properties.
    pub properties: Properties,
}

/// AMQP's message properties, as far as kombu keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Properties {
    /// The task's id.
    #[serde(
        default,
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub correlation_id: Option<String>,
    /// Where replies go.
    #[serde(
        default,
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub reply_to: Option<String>,
    /// 2: to survive a restart of the broker.
    #[serde(
        default,
        deserialize_with = "count",
        skip_serializing_if = "Option::is_none"
    )]
    pub delivery_mode: Option<u8>,
    /// Where the message was sent.
    #[serde(default, deserialize_with = "null_as_default")]
    pub delivery_info: DeliveryInfo,
    /// 0 to 9.
    #[serde(
        default,
        deserialize_with = "priority",
        skip_serializing_if = "Option::is_none"
    )]
    pub priority: Option<u8>,
    /// Milliseconds after which the broker may drop it; kombu writes a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Value>,
    /// `base64`, or absent for plain text.
    #[serde(
        default,
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub body_encoding: Option<String>,
    /// Unique for each delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_tag: Option<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Where a message was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliveryInfo {
    /// Empty for the default exchange, which routes to the queue of that name.
    #[serde(default, deserialize_with = "name")]
    pub exchange: String,
    /// The queue's name, on the default exchange.
    #[serde(default, deserialize_with = "text")]
    pub routing_key: Option<String>,
    /// Whether it has been delivered before.
    #[serde(
        default,
        deserialize_with = "flag",
        skip_serializing_if = "Option::is_none"
    )]
    pub redelivered: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Envelope {
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
        let mut envelope = Self {
            body: String::new(),
            content_encoding: None,
            content_type: None,
            properties: Properties {
                correlation_id: Some(headers.id.clone()),
                reply_to: Some(String::new()),
                delivery_mode: Some(2),
                delivery_info: DeliveryInfo {
                    routing_key: Some(queue.to_owned()),
                    ..DeliveryInfo::default()
                },
                priority: Some(priority),
                expiration: headers.expiration().map(Value::from),
                body_encoding: None,
                delivery_tag: Some(Uuid::new_v4().to_string().into()),
                extra: Map::new(),
            },
            headers,
        };
        envelope.set_body(body, format)?;
        Ok(envelope)
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
        // kombu does so whatever the format: `body_encoding` of virtual channels.
        self.body = BASE64_STANDARD.encode(format.dumps(body)?);
        self.properties.body_encoding = Some("base64".to_owned());
        self.content_type = Some(format.serializer.content_type().to_owned());
        self.content_encoding = Some(format.serializer.content_encoding().to_owned());
        self.headers.extra.remove(COMPRESSION);
        if let Some(method) = format.compression {
            let name = method.content_type().into();
            self.headers.extra.insert(COMPRESSION.to_owned(), name);
        }
        Ok(())
    }

    /// What lies in a queue.
    ///
    /// # Errors
    /// If a header holds what JSON cannot.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::to_vec(self)
    }

    /// Reads what lies in a queue. Whether it is a task message, only
    /// [`decode_body`](Self::decode_body) can tell.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        json::from_slice(payload).map_err(DecodeError::Envelope)
    }

    /// What can be read of a message that cannot be as a whole; `None` if even
    /// its task's id is not among it.
    pub(crate) fn salvage(payload: &[u8]) -> Option<Self> {
        let payload = json::without_lone_surrogates(payload);
        let value: Value = json::from_slice(&payload).ok()?;
        let envelope = json::from_value(&value).unwrap_or_else(|_| {
            let headers = value.get("headers").unwrap_or(&Value::Null);
            let text = |name: &str| headers.get(name).cloned().and_then(as_text);
            let headers = json::from_value(headers).unwrap_or_else(|_| Headers {
                id: text("id").unwrap_or_default(),
                task: text("task").unwrap_or_default(),
                ..Headers::default()
            });
            Self {
                headers,
                ..Self::default()
            }
        });
        Some(envelope).filter(|envelope| !envelope.headers.id.is_empty())
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

    /// The body's bytes, before any encoding.
    fn raw_body(&self) -> Result<Cow<'_, [u8]>, DecodeError> {
        let raw = match self.properties.body_encoding.as_deref() {
            Some("base64") => BASE64_STANDARD
                .decode(&self.body)
                .map_err(|error| DecodeError::Encoding(error.to_string()))?
                .into(),
            _ => self.body.as_bytes().into(),
        };
        let Some(name) = self.headers.extra.get(COMPRESSION).and_then(Value::as_str) else {
            return Ok(raw);
        };
        match Compression::named(name) {
            Some(method) => Ok(method.decompress(&raw)?.into()),
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
        self.properties.delivery_info.redelivered.unwrap_or(false)
    }

    /// Marks the message as delivered before, where kombu and Celery look for it.
    pub fn mark_redelivered(&mut self) {
        self.headers
            .extra
            .insert("redelivered".to_owned(), true.into());
        self.properties.delivery_info.redelivered = Some(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `Celery().send_task("t.add", (2, 2))` of Celery 5.7 leaves it in Redis.
    const FROM_PYTHON: &str = r#"{"body": "W1syLCAyXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogbnVsbCwgImNoYWluIjogbnVsbCwgImNob3JkIjogbnVsbH1d", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": "py", "task": "t.add", "id": "a1", "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": "a1", "parent_id": null, "argsrepr": "(2, 2)", "kwargsrepr": "{}", "origin": "gen1@h", "ignore_result": false, "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}}, "properties": {"correlation_id": "a1", "reply_to": "r", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "d1"}}"#;

    fn accept() -> Vec<String> {
        vec!["json".to_owned()]
    }

    #[test]
    fn a_message_from_python_is_read_and_kept() -> Result<(), Box<dyn std::error::Error>> {
        let mut envelope = Envelope::decode(FROM_PYTHON.as_bytes())?;
        assert_eq!(envelope.decode_body(&accept())?.args, vec![2, 2]);
        let mut written = serde_json::to_value(&envelope)?;
        // Left out rather than null: both mean the same to kombu.
        let original: Value = serde_json::from_str(FROM_PYTHON)?;
        assert_eq!(written.as_object_mut(), original.clone().as_object_mut());
        Ok(())
    }

    #[test]
    fn what_cannot_be_read_says_why() -> Result<(), Box<dyn std::error::Error>> {
        assert!(matches!(
            Envelope::decode(b"{\"body\": "),
            Err(DecodeError::Envelope(_))
        ));
        let nameless = FROM_PYTHON.replace("\"t.add\"", "\"\"");
        assert!(matches!(
            Envelope::decode(nameless.as_bytes())?.decode_body(&accept()),
            Err(DecodeError::NotATask("task"))
        ));
        let mut envelope = Envelope::decode(FROM_PYTHON.as_bytes())?;
        envelope.body = "W10=".to_owned();
        assert!(matches!(
            envelope.decode_body(&accept()),
            Err(DecodeError::Body(_))
        ));
        envelope.content_type = Some("application/x-python-serialize".to_owned());
        let refused = envelope.decode_body(&accept());
        assert!(matches!(refused, Err(DecodeError::ContentDisallowed(_))));
        Ok(())
    }
}
