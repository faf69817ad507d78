//! Compressed bodies and results, by kombu's names (`kombu/compression.py`).

use std::io::{Error, ErrorKind, Read};

use serde::{Deserialize, Serialize};

use super::{DecodeError, codecs};

/// What is compressed may grow to this much, bytes; a bomb ends here.
const LIMIT: u64 = 256 << 20;

/// A compression method. As `kombu.compression.register`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
#[non_exhaustive]
pub enum Compression {
    /// zlib's format, which kombu also calls gzip.
    Zlib,
    /// bzip2.
    Bzip2,
    /// Brotli.
    Brotli,
    /// xz; the older lzma is read, too.
    Lzma,
    /// Zstandard.
    Zstd,
}

impl From<Compression> for &'static str {
    fn from(method: Compression) -> Self {
        method.name()
    }
}

impl Compression {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Bzip2 => "bzip2",
            Self::Brotli => "brotli",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
        }
    }

    /// The method of this name or content type.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gzip" | "zlib" | "application/x-gzip" => Self::Zlib,
            "bzip2" | "bzip" | "application/x-bz2" => Self::Bzip2,
            "brotli" | "application/x-brotli" => Self::Brotli,
            "lzma" | "xz" | "application/x-lzma" => Self::Lzma,
            "zstd" | "zstandard" | "application/zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// Its name in messages and results.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Zlib => "application/x-gzip",
            Self::Bzip2 => "application/x-bz2",
            Self::Brotli => "application/x-brotli",
            Self::Lzma => "application/x-lzma",
            Self::Zstd => "application/zstd",
        }
    }

    /// Compresses `plain`, as strongly as Python does unless that is slow.
    ///
    /// # Errors
    /// Without the feature `compression`.
    pub fn compress(self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        codecs::compress(self, plain)
    }

    /// Undoes [`compress`](Self::compress), whoever did it.
    ///
    /// # Errors
    /// [`DecodeError::Encoding`] if it is broken, cut off or too large.
    pub fn decompress(self, raw: &[u8]) -> Result<Vec<u8>, DecodeError> {
        self.decompress_up_to(LIMIT, raw)
    }

    fn decompress_up_to(self, limit: u64, raw: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let read = codecs::decoder(self, raw).and_then(|decoder| bounded(decoder, limit));
        read.map_err(|error| {
            DecodeError::Encoding(format!(
                "cannot decompress {}: {error}",
                self.content_type()
            ))
        })
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or_else(|| {
            format!(
                "no compression is called {name:?}; there are zlib, bzip2, brotli, lzma and zstd"
            )
        })
    }
}

fn bounded(decoder: Box<dyn Read + '_>, limit: u64) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    decoder.take(limit + 1).read_to_end(&mut out)?;
    if out.len() as u64 > limit {
        let reason = format!("it grows beyond {limit} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(out)
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use super::*;

    const ALL: [Compression; 5] = [
        Compression::Zlib,
        Compression::Bzip2,
        Compression::Brotli,
        Compression::Lzma,
        Compression::Zstd,
    ];

    #[test]
    fn what_is_cut_off_or_changed_is_refused() -> Result<(), Error> {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        for method in ALL {
            let packed = method.compress(&plain)?;
            assert_eq!(
                method.decompress(&packed).ok(),
                Some(plain.clone()),
                "{method:?}"
            );
            for end in [0, 1, packed.len() / 2, packed.len() - 1] {
                assert!(
                    method.decompress(&packed[..end]).is_err(),
                    "{method:?} {end}"
                );
            }
            assert!(method.decompress(b"no such thing").is_err(), "{method:?}");
        }
        Ok(())
    }

    #[test]
    fn a_bomb_ends_at_the_limit() -> Result<(), Error> {
        let zeros = vec![0; 1 << 20];
        for method in ALL {
            let bomb = method.compress(&zeros)?;
            let read = |limit| method.decompress_up_to(limit, &bomb);
            assert_eq!(read(1 << 20).ok().as_ref(), Some(&zeros), "{method:?}");
            assert!(read((1 << 20) - 1).is_err(), "{method:?}");
        }
        Ok(())
    }
}
