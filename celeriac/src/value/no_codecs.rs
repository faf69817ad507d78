//! What stands for compression where the feature is off.

use std::io::{Error, ErrorKind, Read};

use super::Compression;

pub fn compress(method: Compression, _plain: &[u8]) -> Result<Vec<u8>, Error> {
    Err(missing(method))
}

pub fn decoder(method: Compression, _raw: &[u8]) -> Result<Box<dyn Read>, Error> {
    Err(missing(method))
}

fn missing(method: Compression) -> Error {
    let reason = format!(
        "{} is not in this program: build it with the feature `compression`",
        method.name()
    );
    Error::new(ErrorKind::Unsupported, reason)
}
