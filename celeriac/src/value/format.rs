//! How a body is written: in which format, and how compressed.

use serde::Serialize;

use super::{Compression, Serializer};

/// A serializer and a compression; plain JSON by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// As `task_serializer`, or an option `serializer`.
    pub serializer: Serializer,
    /// As `task_compression`, or an option `compression`.
    pub compression: Option<Compression>,
}

impl Format {
    /// Writes a value.
    ///
    /// # Errors
    /// If it holds what the serializer has no type for.
    pub fn dumps<T: Serialize>(self, value: &T) -> Result<Vec<u8>, serde_json::Error> {
        let plain = self.serializer.dumps(value)?;
        match self.compression {
            Some(method) => method.compress(&plain).map_err(serde_json::Error::io),
            None => Ok(plain),
        }
    }
}
