//! The JSON object that kombu puts into a queue
//! (`kombu/transport/virtual/base.py`, `Channel.prepare_message`).

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Body, DecodeError, Headers, compression};

/// A message as it lies in a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The body, encoded as the properties' `body_encoding` says.
    pub body: String,
    /// Character set of the body.
    #[serde(rename = "content-encoding", default)]
    pub content_encoding: Option<String>,
    /// Format of the body.
    #[serde(rename = "content-type", default)]
    pub content_type: Option<String>,
    /// The task's headers.
    pub headers: Headers,
    /// The message's properties.
    pub properties: Properties,
}

/// AMQP's message properties, as far as kombu keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Properties {
    /// The task's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Where replies go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// 2: to survive a restart of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_mode: Option<u8>,
    /// Where the message was sent.
    #[serde(default)]
    pub delivery_info: DeliveryInfo,
    /// 0 to 9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// `base64`, or absent for plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    #[serde(default)]
    pub exchange: String,
    /// The queue's name, on the default exchange.
    #[serde(default)]
    pub routing_key: Option<String>,
    /// Whether it has been delivered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
        Ok(Self {
            body: BASE64_STANDARD.encode(serde_json::to_vec(body)?),
            content_encoding: Some("utf-8".to_owned()),
            content_type: Some("application/json".to_owned()),
            properties: Properties {
                correlation_id: Some(headers.id.clone()),
                reply_to: Some(String::new()),
                delivery_mode: Some(2),
                delivery_info: DeliveryInfo {
                    routing_key: Some(queue.to_owned()),
                    ..DeliveryInfo::default()
                },
                priority: Some(priority),
                body_encoding: Some("base64".to_owned()),
                delivery_tag: Some(Uuid::new_v4().to_string().into()),
                extra: Map::new(),
            },
            headers,
        })
    }

    /// Reads what lies in a queue, and checks that it is a task message.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let envelope: Self = serde_json::from_slice(payload).map_err(DecodeError::Envelope)?;
        for (name, value) in [
            ("task", &envelope.headers.task),
            ("id", &envelope.headers.id),
        ] {
            if value.is_empty() {
                return Err(DecodeError::NotATask(name));
            }
        }
        Ok(envelope)
    }

    /// The arguments and what follows, if `accept` names the content type.
    pub fn decode_body(&self, accept: &[String]) -> Result<Body, DecodeError> {
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        let accepted = accept.iter().any(|name| {
            name == content_type || (name == "json" && content_type == "application/json")
        });
        if !accepted || content_type != "application/json" {
            return Err(DecodeError::ContentDisallowed(content_type.to_owned()));
        }
        let raw = match self.properties.body_encoding.as_deref() {
            Some("base64") => BASE64_STANDARD
                .decode(&self.body)
                .map_err(|error| DecodeError::Encoding(error.to_string()))?,
            _ => self.body.clone().into_bytes(),
        };
        let raw = match self
            .headers
            .extra
            .get("compression")
            .and_then(Value::as_str)
        {
            Some(method) => compression::decompress(method, &raw)?,
            None => raw,
        };
        serde_json::from_slice(&raw).map_err(DecodeError::Body)
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
        let envelope = Envelope::decode(FROM_PYTHON.as_bytes())?;
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
            Envelope::decode(nameless.as_bytes()),
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
