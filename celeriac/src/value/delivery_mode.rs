//! `delivery_mode`: whether a broker keeps a message over a restart of its own.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A message's property `delivery_mode`. Redis does not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
#[non_exhaustive]
pub enum DeliveryMode {
    /// 1: it may be lost with the broker.
    Transient,
    /// 2: it is not.
    #[default]
    Persistent,
}

impl DeliveryMode {
    /// The mode of a name of kombu's.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "transient" | "1" => Some(Self::Transient),
            "persistent" | "2" => Some(Self::Persistent),
            _ => None,
        }
    }
}

impl From<DeliveryMode> for u8 {
    fn from(mode: DeliveryMode) -> Self {
        match mode {
            DeliveryMode::Transient => 1,
            DeliveryMode::Persistent => 2,
        }
    }
}

impl<'de> Deserialize<'de> for DeliveryMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl Visitor<'_> for Form {
    type Value = DeliveryMode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1, 2, \"transient\" or \"persistent\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<DeliveryMode, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<DeliveryMode, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<DeliveryMode, E> {
        DeliveryMode::named(name).ok_or_else(|| {
            Error::custom(format_args!(
                "no delivery mode is {name:?}: 1 or \"transient\", 2 or \"persistent\""
            ))
        })
    }
}
