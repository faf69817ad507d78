//! Numbers that Python has and `serde_json` has no place for: `NaN`, the
//! infinities, and integers beyond 64 bits. A [`Value`](serde_json::Value) holds
//! one as typed JSON of a kind that is never on the wire:
//! `{"__type__": "celeriac.number", "__value__": "NaN"}`.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};
use serde_json::{Error, Map, Value};

use crate::value::serializer::{MAX_DEPTH, too_deep};

pub(super) const KIND: &str = "celeriac.number";
/// What is before and behind the number's text.
const OPEN: &[u8] = br#"{"__type__":"celeriac.number","__value__":""#;
const CLOSE: &[u8] = br#""}"#;

/// An integer of fewer digits fits.
const LONG: usize = 19;

/// A number that only a text can hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number<'a> {
    /// One that is not finite.
    Real(f64),
    /// Its digits, and perhaps a sign.
    Whole(&'a str),
}

impl<'a> Number<'a> {
    /// The number that Python writes so; `None` if `serde_json` has it.
    pub fn read(text: &'a str) -> Option<Self> {
        match text {
            "NaN" => return Some(Self::Real(f64::NAN)),
            "Infinity" => return Some(Self::Real(f64::INFINITY)),
            "-Infinity" => return Some(Self::Real(f64::NEG_INFINITY)),
            _ => {}
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let held = || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
            let long = digits.len() >= LONG && !digits.starts_with('0');
            return (long && !held()).then_some(Self::Whole(text));
        }
        // What is too large for a float is infinite.
        let begins = digits.starts_with(|c: char| c.is_ascii_digit());
        let real: f64 = text.parse().ok().filter(|_| begins)?;
        real.is_infinite().then_some(Self::Real(real))
    }

    /// As Python's JSON has it.
    pub fn text(self) -> &'a str {
        match self {
            Self::Real(real) if real.is_nan() => "NaN",
            Self::Real(real) if real > 0.0 => "Infinity",
            Self::Real(_) => "-Infinity",
            Self::Whole(text) => text,
        }
    }

    /// As Python's `repr`.
    pub fn repr(self) -> &'a str {
        match self {
            Self::Real(real) if real.is_nan() => "nan",
            Self::Real(real) if real > 0.0 => "inf",
            Self::Real(_) => "-inf",
            Self::Whole(text) => text,
        }
    }

    /// As a value holds it.
    #[cfg(any(feature = "msgpack", feature = "yaml"))]
    pub fn value(self) -> Value {
        serde_json::json!({"__type__": KIND, "__value__": self.text()})
    }
}

/// A float, infinite or none at all included.
#[cfg(any(feature = "msgpack", feature = "yaml"))]
pub fn real(number: f64) -> Value {
    let finite = serde_json::Number::from_f64(number).map(Value::Number);
    finite.unwrap_or_else(|| Number::Real(number).value())
}

/// The number that a map stands for.
pub(crate) fn number(map: &Map<String, Value>) -> Option<Number<'_>> {
    let mut entries = map.iter();
    let kind = entries.next().filter(|(key, _)| *key == "__type__")?.1;
    let text = entries.next().filter(|(key, _)| *key == "__value__")?.1;
    if entries.next().is_some() || kind != KIND {
        return None;
    }
    let text = text.as_str()?;
    Number::read(text).filter(|number| number.text() == text)
}

/// Whether there may be an integer that does not fit: as many digits in a row.
/// One in so many bytes tells.
pub(super) fn may_be_long(raw: &[u8]) -> bool {
    let digits = |bytes: &mut dyn Iterator<Item = &u8>| {
        bytes
            .take(LONG)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    (LONG - 1..raw.len()).step_by(LONG).any(|at| {
        let (before, after) = raw.split_at(at);
        digits(&mut after.iter().take(1)) > 0
            && digits(&mut before.iter().rev()) + digits(&mut after.iter()) >= LONG
    })
}

/// JSON of Python's as JSON that `serde_json` can hold.
pub(super) fn marked(raw: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let (mut out, mut copied, mut depth, mut at) = (Vec::new(), 0, 0_usize, 0);
    while let Some(byte) = raw.get(at) {
        match byte {
            b'"' => at = end_of_text(raw, at + 1),
            b'[' | b'{' if depth == MAX_DEPTH => return Err(too_deep()),
            b'[' | b'{' => (depth, at) = (depth + 1, at + 1),
            b']' | b'}' => (depth, at) = (depth.saturating_sub(1), at + 1),
            b'-' | b'0'..=b'9' | b'I' | b'N' => {
                let token = token(raw.get(at..).unwrap_or_default());
                if let Some(number) = Number::read(token) {
                    out.extend_from_slice(raw.get(copied..at).unwrap_or_default());
                    out.extend([OPEN, number.text().as_bytes(), CLOSE].concat());
                    copied = at + token.len();
                }
                at += token.len();
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Ok(raw.into());
    }
    out.extend_from_slice(raw.get(copied..).unwrap_or_default());
    Ok(out.into())
}

/// Behind the quote that ends a text.
fn end_of_text(raw: &[u8], mut at: usize) -> usize {
    while let Some(rest) = raw.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            // What is escaped ends nothing.
            Some(found) => at += found + 2,
            None => break,
        }
    }
    raw.len()
}

/// What belongs together as a number does: at least one character.
fn token(raw: &[u8]) -> &str {
    let belongs = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
    let length = raw.iter().take_while(belongs).count();
    std::str::from_utf8(raw.get(..length).unwrap_or_default()).unwrap_or_default()
}

/// The same with every number as Python has it. No text can look like a mark,
/// since its quotes are escaped.
pub(super) fn bare(written: Vec<u8>) -> Vec<u8> {
    let (mut out, mut copied) = (Vec::new(), 0);
    for start in memmem::find_iter(&written, OPEN) {
        let text = written.get(start + OPEN.len()..).unwrap_or_default();
        let text = text.get(..memchr(b'"', text).unwrap_or(0));
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        let text = text.unwrap_or_default();
        let end = start + OPEN.len() + text.len();
        let closes = written
            .get(end..)
            .is_some_and(|rest| rest.starts_with(CLOSE));
        if closes && Number::read(text).is_some_and(|number| number.text() == text) {
            out.extend_from_slice(written.get(copied..start).unwrap_or_default());
            out.extend_from_slice(text.as_bytes());
            copied = end + CLOSE.len();
        }
    }
    if copied == 0 {
        return written;
    }
    out.extend_from_slice(written.get(copied..).unwrap_or_default());
    out
}
