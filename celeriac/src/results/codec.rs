//! What a stored result looks like: format and compression
//! (`celery/backends/base.py`, `encode` and `decode`).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Settings;
use crate::error::Error;
use crate::value::{Compression, DecodeError, Format, Serializer, json, typed};

/// Begins a compressed result; the compression's content type, a NUL and the
/// compressed result follow.
const COMPRESSED: &[u8] = b"\0celery-compressed\0";

/// Writes and reads results as `result_serializer`, `result_compression` and
/// `result_accept_content` say.
#[derive(Clone, Debug)]
pub struct Codec {
    format: Format,
    accept: Vec<String>,
}

impl Codec {
    /// The codec of these settings.
    pub fn of(settings: &Settings) -> Self {
        let accept = settings
            .result_accept_content
            .as_ref()
            .unwrap_or(&settings.accept_content);
        Self {
            format: Format {
                serializer: settings.result_serializer,
                compression: settings.result_compression,
            },
            accept: accept.0.clone(),
        }
    }

    /// Writes a result. What the serializer has no type for is written as
    /// text: the arguments of an exception, say. A task's own result is checked
    /// before it gets here.
    pub fn dumps<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, Error> {
        let written = self.format.dumps(value).or_else(|_| {
            let mut value = json::to_value(value)?;
            typed::to_plain(&mut value);
            self.format.dumps(&value)
        })?;
        let Some(method) = self.format.compression else {
            return Ok(written);
        };
        Ok([
            COMPRESSED,
            method.content_type().as_bytes(),
            b"\0",
            &written,
        ]
        .concat())
    }

    /// Reads a result, compressed or not.
    ///
    /// # Errors
    /// [`Error::Decode`] if `result_accept_content` does not have what results
    /// are stored in, or it cannot be read.
    pub fn loads<T: DeserializeOwned>(&self, stored: &[u8]) -> Result<T, Error> {
        let content_type = self.format.serializer.content_type();
        let serializer = Serializer::accepted(content_type, &self.accept)?;
        Ok(match decompress(stored)? {
            Some(plain) => serializer.loads(&plain)?,
            None => serializer.loads(stored)?,
        })
    }
}

/// What was compressed; `None` if nothing was.
fn decompress(stored: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
    let Some(rest) = stored.strip_prefix(COMPRESSED) else {
        return Ok(None);
    };
    let mut parts = rest.splitn(2, |&byte| byte == 0);
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let method = Compression::named(&name);
    let method =
        method.ok_or_else(|| DecodeError::Encoding(format!("unknown compression {name:?}")))?;
    method
        .decompress(parts.next().unwrap_or_default())
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AcceptContent;
    use serde_json::{Value, json};

    #[test]
    fn what_has_no_type_is_written_as_text() -> Result<(), Error> {
        let accept = AcceptContent(vec!["yaml".to_owned()]);
        let codec = Codec::of(&Settings {
            result_serializer: Serializer::Yaml,
            result_accept_content: Some(accept),
            ..Settings::default()
        });
        let uuid = json!({"__type__": "uuid", "__value__": {"hex": "00"}});
        let broken = json!({"__type__": "base64", "__value__": 5});
        let stored = codec.dumps(&json!({"exc_message": [uuid, &broken]}))?;
        let read: Value = codec.loads(&stored)?;
        assert_eq!(read, json!({"exc_message": ["00", broken]}));
        Ok(())
    }

    #[test]
    fn a_result_is_read_by_who_compresses_otherwise() -> Result<(), Error> {
        let settings = Settings {
            result_serializer: Serializer::Msgpack,
            ..Settings::default()
        };
        let accept = AcceptContent(vec!["msgpack".to_owned()]);
        let plain = Settings {
            result_accept_content: Some(accept),
            ..settings.clone()
        };
        let zstd = Settings {
            result_compression: Some(Compression::Zstd),
            ..plain.clone()
        };
        let value = json!({"status": "SUCCESS", "result": [1, null]});
        for writer in [&plain, &zstd] {
            let stored = Codec::of(writer).dumps(&value)?;
            assert_eq!(Codec::of(&plain).loads::<Value>(&stored)?, value);
            // `accept_content` alone does not have msgpack.
            let refused = Codec::of(&settings).loads::<Value>(&stored);
            assert!(matches!(
                refused,
                Err(Error::Decode(DecodeError::ContentDisallowed(_)))
            ));
        }
        Ok(())
    }
}
