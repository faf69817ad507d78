//! What compresses, method by method.

use std::io::{Error, Read, Write};

use brotli::enc::BrotliEncoderParams;
use bzip2::read::MultiBzDecoder;
use flate2::read::ZlibDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::Compression;

/// Memory that a decoder may take for its own use, bytes. The strongest preset
/// of xz needs 65 MiB; zstd's window and brotli's are bounded by themselves.
const DECODER_MEMORY: u64 = 128 << 20;

pub fn compress(method: Compression, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    match method {
        Compression::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(&mut out, Default::default());
            encoder.write_all(plain)?;
            encoder.finish()?;
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(&mut out, bzip2::Compression::best());
            encoder.write_all(plain)?;
            encoder.finish()?;
        }
        Compression::Brotli => {
            // Python's 11 takes a hundred times as long for a tenth less.
            let quality = BrotliEncoderParams {
                quality: 5,
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*plain, &mut out, &quality)?;
        }
        Compression::Lzma => {
            let mut encoder = liblzma::write::XzEncoder::new(&mut out, 6);
            encoder.write_all(plain)?;
            encoder.finish()?;
        }
        Compression::Zstd => out = zstd::stream::encode_all(plain, 0)?,
    }
    Ok(out)
}

pub fn decoder<'a>(method: Compression, raw: &'a [u8]) -> Result<Box<dyn Read + 'a>, Error> {
    Ok(match method {
        Compression::Zlib => Box::new(ZlibDecoder::new(raw)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(raw)),
        Compression::Brotli => Box::new(brotli::Decompressor::new(raw, 4096)),
        Compression::Lzma => {
            let stream = Stream::new_auto_decoder(DECODER_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(XzDecoder::new_stream(raw, stream))
        }
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(raw)?),
    })
}
