//! kombu's typed JSON: `{"__type__": "datetime", "__value__": "…"}`
//! (`kombu/utils/json.py`).
//!
//! Values travel through Celeriac unchanged. A task that wants one with its
//! type takes or returns [`Typed<T>`].

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::instant;
use super::json::{Number, number};

/// A value that kombu marks with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed<T>(pub T);

/// Bytes (Python's `bytes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// A decimal number in its text form (Python's `Decimal`), digits kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(pub String);

/// What kombu's encoder knows: its name on the wire and its text form.
pub trait WireType: Sized {
    /// The names under which kombu writes it.
    const NAMES: &'static [&'static str];
    /// Its text form; and its name, which bytes have two of.
    fn write(&self) -> (&'static str, serde_json::Value);
    /// Reads the text form under the name `kind` back.
    fn read(kind: &str, value: &str) -> Result<Self, String>;
}

#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "__type__")]
    kind: String,
    #[serde(rename = "__value__")]
    value: serde_json::Value,
}

impl<T: WireType> Serialize for Typed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let (kind, value) = self.0.write();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("__type__", kind)?;
        map.serialize_entry("__value__", &value)?;
        map.end()
    }
}

impl<'de, T: WireType> Deserialize<'de> for Typed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tagged = Tagged::deserialize(deserializer)?;
        if !T::NAMES.contains(&tagged.kind.as_str()) {
            return Err(D::Error::custom(format!(
                "expected a {}",
                T::NAMES.join(" or ")
            )));
        }
        // kombu writes UUIDs as `{"hex": …}`, everything else as text.
        let text = tagged
            .value
            .as_str()
            .or_else(|| tagged.value.get("hex")?.as_str());
        let text = text.ok_or_else(|| D::Error::custom("__value__ is not a text"))?;
        T::read(&tagged.kind, text)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

impl WireType for DateTime<FixedOffset> {
    const NAMES: &'static [&'static str] = &["datetime"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        ("datetime", instant::isoformat(self).into())
    }
    fn read(_: &str, value: &str) -> Result<Self, String> {
        DateTime::parse_from_rfc3339(value).map_err(|error| error.to_string())
    }
}

impl WireType for NaiveDateTime {
    const NAMES: &'static [&'static str] = &["datetime"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        ("datetime", instant::isoformat_naive(*self).into())
    }
    fn read(_: &str, value: &str) -> Result<Self, String> {
        value.parse().map_err(|error| format!("{error}"))
    }
}

impl WireType for NaiveDate {
    const NAMES: &'static [&'static str] = &["date"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        ("date", self.to_string().into())
    }
    fn read(_: &str, value: &str) -> Result<Self, String> {
        value.parse().map_err(|error| format!("{error}"))
    }
}

impl WireType for NaiveTime {
    const NAMES: &'static [&'static str] = &["time"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        ("time", instant::isoformat_time(*self).to_string().into())
    }
    fn read(_: &str, value: &str) -> Result<Self, String> {
        value.parse().map_err(|error| format!("{error}"))
    }
}

impl WireType for Uuid {
    const NAMES: &'static [&'static str] = &["uuid"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        (
            "uuid",
            serde_json::json!({"hex": self.simple().to_string()}),
        )
    }
    fn read(_: &str, value: &str) -> Result<Self, String> {
        value.parse().map_err(|error| format!("{error}"))
    }
}

impl WireType for Decimal {
    const NAMES: &'static [&'static str] = &["decimal"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        ("decimal", self.0.clone().into())
    }
    fn read(_: &str, value: &str) -> Result<Self, String> {
        Ok(Self(value.to_owned()))
    }
}

impl WireType for Bytes {
    const NAMES: &'static [&'static str] = &["bytes", "base64"];
    fn write(&self) -> (&'static str, serde_json::Value) {
        match std::str::from_utf8(&self.0) {
            Ok(text) => ("bytes", text.into()),
            Err(_) => ("base64", BASE64_STANDARD.encode(&self.0).into()),
        }
    }
    fn read(kind: &str, value: &str) -> Result<Self, String> {
        match kind {
            "bytes" => Ok(Self(value.as_bytes().to_vec())),
            _ => BASE64_STANDARD
                .decode(value)
                .map(Self)
                .map_err(|error| error.to_string()),
        }
    }
}

/// Bytes as typed JSON.
#[cfg(any(feature = "msgpack", feature = "yaml"))]
pub(super) fn bytes(bytes: &[u8]) -> Value {
    let (kind, value) = Bytes(bytes.to_vec()).write();
    serde_json::json!({"__type__": kind, "__value__": value})
}

/// What a map of typed JSON stands for in Python.
pub(super) enum Native<'a> {
    /// `bytes`, in whichever of the two forms.
    Bytes(Vec<u8>),
    /// A number that JSON alone has no place for.
    Number(Number<'a>),
    /// A value of another class, and its text.
    Other(&'static str, &'a str),
}

/// The typed value that a map is; `None` for a plain map.
pub(super) fn native(map: &Map<String, Value>) -> Option<Native<'_>> {
    if map.len() != 2 {
        return None;
    }
    let value = map.get("__value__")?;
    let text = value.as_str().or_else(|| value.get("hex")?.as_str())?;
    let class = match map.get("__type__")?.as_str()? {
        kind @ ("bytes" | "base64") => {
            return Bytes::read(kind, text)
                .ok()
                .map(|bytes| Native::Bytes(bytes.0));
        }
        "datetime" => "datetime",
        "date" => "date",
        "time" => "time",
        "decimal" => "Decimal",
        "uuid" => "UUID",
        _ => return number(map).map(Native::Number),
    };
    Some(Native::Other(class, text))
}

/// The text of a typed value, as Python's `str` has it; `None` if it is none.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    Some(match native(value.as_object()?)? {
        // Where a name is wanted, bytes are one.
        Native::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        Native::Number(number) => number.repr().into(),
        Native::Other("UUID", hex) => match hex.parse::<Uuid>() {
            Ok(id) => id.to_string().into(),
            Err(_) => hex.into(),
        },
        Native::Other(_, text) => text.into(),
    })
}

/// Puts its text in the place of every typed value but bytes, for formats that
/// have no such type, where the text is better than nothing.
pub(crate) fn to_plain(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(to_plain),
        Value::Object(map) => match native(map) {
            Some(Native::Bytes(_)) => {}
            Some(Native::Number(number)) => *value = number.text().into(),
            Some(Native::Other(_, text)) => *value = text.into(),
            None => map.values_mut().for_each(to_plain),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: WireType + PartialEq + std::fmt::Debug>(
        wire: &str,
    ) -> Result<(), serde_json::Error> {
        let value: Typed<T> = serde_json::from_str(wire)?;
        let written = serde_json::to_value(&value)?;
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(wire)?);
        Ok(())
    }

    /// Each line is what `kombu.utils.json.dumps` of kombu 5.7 writes.
    #[test]
    fn reads_and_writes_what_kombu_does() -> Result<(), serde_json::Error> {
        round_trip::<NaiveDateTime>(
            r#"{"__type__": "datetime", "__value__": "2026-01-02T03:04:05.000600"}"#,
        )?;
        round_trip::<DateTime<FixedOffset>>(
            r#"{"__type__": "datetime", "__value__": "2026-01-02T03:04:05+02:00"}"#,
        )?;
        round_trip::<NaiveDate>(r#"{"__type__": "date", "__value__": "2026-01-02"}"#)?;
        round_trip::<NaiveTime>(r#"{"__type__": "time", "__value__": "03:04:05"}"#)?;
        round_trip::<Uuid>(
            r#"{"__type__": "uuid", "__value__": {"hex": "00000000000040008000000000000001"}}"#,
        )?;
        round_trip::<Decimal>(r#"{"__type__": "decimal", "__value__": "1.10"}"#)?;
        round_trip::<Bytes>(r#"{"__type__": "bytes", "__value__": "hé"}"#)?;
        round_trip::<Bytes>(r#"{"__type__": "base64", "__value__": "/w=="}"#)
    }
}
