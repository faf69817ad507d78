//! Compressed bodies (`kombu/compression.py`).

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::DecodeError;

/// A compressed body may grow to this much, bytes; a bomb ends here.
const LIMIT: u64 = 256 << 20;

/// Undoes the `compression` header: `application/x-gzip` is what kombu calls zlib.
pub(super) fn decompress(method: &str, raw: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if !matches!(method, "application/x-gzip" | "gzip" | "zlib") {
        return Err(DecodeError::Encoding(format!(
            "unknown compression {method:?}"
        )));
    }
    let mut out = Vec::new();
    ZlibDecoder::new(raw)
        .take(LIMIT)
        .read_to_end(&mut out)
        .map_err(|error| DecodeError::Encoding(error.to_string()))?;
    if out.len() as u64 == LIMIT {
        return Err(DecodeError::Encoding("the body is too large".to_owned()));
    }
    Ok(out)
}
