//! The formats of bodies and results, by kombu's names
//! (`kombu/serialization.py`).
//!
//! Inside Celeriac every value is JSON, and what JSON has no type for is
//! kombu's [typed JSON](super::typed). The other formats are turned into that
//! when they are read, and back when they are written.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

use super::{DecodeError, json, msgpack, yaml};

/// The content type of pickles, which only Python can read.
const PICKLE: &str = "application/x-python-serialize";

/// Lists and maps nested deeper than this are not read, whatever the format.
/// Python reads and writes a little less.
pub(super) const MAX_DEPTH: usize = 1000;

/// What is said of that.
pub(super) fn too_deep() -> Error {
    unreadable(format!("nested deeper than {MAX_DEPTH}"))
}

/// A format that Celeriac reads and writes. As `kombu.serialization.registry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
#[non_exhaustive]
pub enum Serializer {
    /// kombu's JSON, with types.
    #[default]
    Json,
    /// MessagePack: knows bytes, but no dates.
    Msgpack,
    /// YAML 1.1, as PyYAML's `safe_load` and `safe_dump` have it: knows bytes
    /// and dates.
    Yaml,
}

impl From<Serializer> for &'static str {
    fn from(serializer: Serializer) -> Self {
        serializer.name()
    }
}

impl Serializer {
    const ALL: [Self; 3] = [Self::Json, Self::Msgpack, Self::Yaml];

    /// The serializer of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The serializer of this content type.
    pub(crate) fn of_content_type(content_type: &str) -> Option<Self> {
        Self::named(name_of(content_type))
    }

    /// The serializer of this content type, if it is accepted.
    ///
    /// # Errors
    /// [`DecodeError::ContentDisallowed`] if `accept`, a list of names and
    /// content types, does not have it, and [`DecodeError::Unreadable`] if it
    /// has, but Rust cannot read it.
    pub fn accepted(content_type: &str, accept: &[String]) -> Result<Self, DecodeError> {
        let name = name_of(content_type);
        if !accept.iter().any(|a| a == content_type || a == name) {
            return Err(DecodeError::ContentDisallowed(described(content_type)));
        }
        Self::named(name).ok_or_else(|| DecodeError::Unreadable(described(content_type)))
    }

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Yaml => "yaml",
        }
    }

    /// Its content type in messages.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/x-msgpack",
            Self::Yaml => "application/x-yaml",
        }
    }

    /// The character set of what it writes, `binary` if it has none.
    pub fn content_encoding(self) -> &'static str {
        match self {
            Self::Json | Self::Yaml => "utf-8",
            Self::Msgpack => "binary",
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// If it holds what the format has no type for; kombu's `EncodeError`.
    pub fn dumps<T: Serialize>(self, value: &T) -> Result<Vec<u8>, Error> {
        match self {
            Self::Json => json::to_vec(value),
            Self::Msgpack => msgpack::dumps(&json::to_value(value)?).map_err(unwritable),
            Self::Yaml => yaml::dumps(&json::to_value(value)?).map_err(unwritable),
        }
    }

    /// Reads a value back.
    ///
    /// # Errors
    /// If it is not in this format, not of the type asked for, or holds what
    /// typed JSON cannot; kombu's `DecodeError`.
    pub fn loads<T: DeserializeOwned>(self, raw: &[u8]) -> Result<T, Error> {
        match self {
            Self::Json => json::from_slice(raw),
            Self::Msgpack => json::from_value(&msgpack::loads(raw).map_err(unreadable)?),
            Self::Yaml => json::from_value(&yaml::loads(raw).map_err(unreadable)?),
        }
    }

    /// Whether a value can be written; says why if it cannot. Any can in JSON.
    pub fn check(self, value: &Value) -> Result<(), Error> {
        match self {
            Self::Json => Ok(()),
            other => other.dumps(value).map(drop),
        }
    }
}

fn unwritable(reason: String) -> Error {
    <Error as serde::ser::Error>::custom(reason)
}

fn unreadable(reason: String) -> Error {
    <Error as serde::de::Error>::custom(reason)
}

impl TryFrom<String> for Serializer {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or_else(|| match name.as_str() {
            "pickle" => "pickle is written by Python alone".to_owned(),
            _ => format!("no serializer is called {name:?}; there are json, msgpack and yaml"),
        })
    }
}

/// Whether `accept_content` may have this name: a serializer's, pickle's, or
/// any content type.
pub(crate) fn is_known(name: &str) -> bool {
    name.contains('/') || name == "pickle" || Serializer::named(name).is_some()
}

/// The name of a content type; itself if it has none.
fn name_of(content_type: &str) -> &str {
    let known = Serializer::ALL.into_iter();
    match known
        .map(|s| (s.content_type(), s.name()))
        .find(|(c, _)| *c == content_type)
    {
        Some((_, name)) => name,
        None if content_type == PICKLE => "pickle",
        None => content_type,
    }
}

/// A content type with its name: `pickle (application/x-python-serialize)`.
fn described(content_type: &str) -> String {
    match name_of(content_type) {
        name if name == content_type => name.to_owned(),
        name => format!("{name} ({content_type})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_every_format_carries_comes_back() -> Result<(), Error> {
        let value = json!({
            "numbers": [0, -1, u64::MAX, i64::MIN, 1.5, -0.0, 1e-300, 1e300, 9_007_199_254_740_993_i64],
            "texts": ["", "no", "1:30", "2026-01-02", "~", "=", "<<", "a: b # c", "\"\\\n\t\0\u{7f}\u{85}\u{2028}\u{feff}☃🦀"],
            "nothing": [null, true, false, [], {}],
            "bytes": [
                {"__type__": "bytes", "__value__": "text"},
                {"__type__": "base64", "__value__": "/wA="},
            ],
            "k".repeat(3000): {"": 1, "yes": 2, "? x": 3},
        });
        for serializer in Serializer::ALL {
            let raw = serializer.dumps(&value)?;
            assert_eq!(serializer.loads::<Value>(&raw)?, value, "{serializer:?}");
        }
        Ok(())
    }

    #[test]
    fn dates_are_refused_where_kombu_refuses_them() {
        let typed = |kind: &str, text: &str| json!([{"__type__": kind, "__value__": text}]);
        let date = typed("datetime", "2026-01-02T03:04:05.000600+00:00");
        assert!(Serializer::Msgpack.check(&date).is_err());
        assert!(Serializer::Yaml.check(&date).is_ok());
        assert!(Serializer::Yaml.check(&typed("time", "03:04:05")).is_err());
        assert!(Serializer::Yaml.check(&typed("datetime", "soon")).is_err());
    }

    #[test]
    fn only_what_is_accepted_is_read() {
        let accept = ["msgpack", "application/x-yaml", "pickle"].map(str::to_owned);
        let read = |content_type| Serializer::accepted(content_type, &accept);
        assert_eq!(
            read("application/x-msgpack").ok(),
            Some(Serializer::Msgpack)
        );
        assert_eq!(read("application/x-yaml").ok(), Some(Serializer::Yaml));
        assert!(matches!(
            read("application/json"),
            Err(DecodeError::ContentDisallowed(_))
        ));
        assert!(matches!(read(PICKLE), Err(DecodeError::Unreadable(_))));
    }
}
