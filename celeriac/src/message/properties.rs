//! A message's properties, and where it was sent (`kombu.Message`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::value::lenient::{count, flag, name, priority, text};

/// What a message says of itself beside its headers: the properties of AMQP, as
/// far as kombu keeps them.
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
