//! MessagePack as kombu reads and writes it: `packb(use_bin_type=True)` and
//! `unpackb(raw=False)`.

use rmp::encode;
use rmpv::decode::read_value_ref_with_max_depth;
use rmpv::{Utf8StringRef, ValueRef};
use serde_json::{Map, Number, Value};

use super::json::{self, real};
use super::serializer::{MAX_DEPTH, too_deep};
use super::typed::{self, Native};
use crate::stack::{with_most, with_room};

/// What any stack has room for.
const SHALLOW: usize = 100;

pub(super) fn loads(raw: &[u8]) -> Result<Value, String> {
    match read(raw, SHALLOW) {
        Err(Unread::TooDeep) => match with_most(|| read(raw, MAX_DEPTH)) {
            Err(Unread::TooDeep) => Err(too_deep().to_string()),
            Err(Unread::For(reason)) => Err(reason),
            Ok(value) => Ok(value),
        },
        Err(Unread::For(reason)) => Err(reason),
        Ok(value) => Ok(value),
    }
}

/// Why something is not read.
enum Unread {
    TooDeep,
    For(String),
}

fn read(mut raw: &[u8], depth: usize) -> Result<Value, Unread> {
    // rmpv counts two for each list or map, and up to four for what is in it.
    let value = read_value_ref_with_max_depth(&mut raw, 2 * depth + 4);
    let value = value.map_err(|error| match error {
        rmpv::decode::Error::DepthLimitExceeded => Unread::TooDeep,
        other => Unread::For(other.to_string()),
    })?;
    if !raw.is_empty() {
        let reason = "there is more after the end of the message";
        return Err(Unread::For(reason.to_owned()));
    }
    typed_json(value).map_err(Unread::For)
}

fn typed_json(value: ValueRef<'_>) -> Result<Value, String> {
    Ok(match value {
        ValueRef::Nil => Value::Null,
        ValueRef::Boolean(flag) => flag.into(),
        ValueRef::Integer(whole) => match (whole.as_u64(), whole.as_i64()) {
            (Some(whole), _) => whole.into(),
            (None, whole) => whole.into(),
        },
        ValueRef::F32(number) => real(number.into()),
        ValueRef::F64(number) => real(number),
        ValueRef::String(text) => string(text)?.into(),
        ValueRef::Binary(bytes) => typed::bytes(bytes),
        ValueRef::Array(items) => {
            let items = items.into_iter().map(typed_json);
            items.collect::<Result<_, _>>()?
        }
        ValueRef::Map(entries) => {
            let entry = |(key, value)| Ok((key_of(key)?, typed_json(value)?));
            let map: Result<Map<_, _>, String> = entries.into_iter().map(entry).collect();
            map?.into()
        }
        ValueRef::Ext(kind, _) => return Err(format!("cannot read extension type {kind}")),
    })
}

fn string(text: Utf8StringRef<'_>) -> Result<String, String> {
    match text.into_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err("a text is not UTF-8".to_owned()),
    }
}

/// Python allows no other keys either (`strict_map_key`).
fn key_of(key: ValueRef<'_>) -> Result<String, String> {
    match key {
        ValueRef::String(text) => string(text),
        other => Err(format!("{other} is no key of a map; a text is")),
    }
}

pub(super) fn dumps(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    write(&mut out, value)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => encode::write_nil(out).map_err(text)?,
        Value::Bool(flag) => encode::write_bool(out, *flag).map_err(text)?,
        Value::Number(number) => write_number(out, number)?,
        Value::String(string) => encode::write_str(out, string).map_err(text)?,
        Value::Array(items) => {
            encode::write_array_len(out, length(items.len())?).map_err(text)?;
            with_room(|| items.iter().try_for_each(|item| write(out, item)))?;
        }
        Value::Object(map) => match typed::native(map) {
            Some(Native::Bytes(bytes)) => encode::write_bin(out, &bytes).map_err(text)?,
            Some(Native::Number(json::Number::Real(real))) => {
                encode::write_f64(out, real).map_err(text)?;
            }
            Some(Native::Number(number)) => {
                return Err(format!(
                    "msgpack has no integer as large as {}",
                    number.text()
                ));
            }
            Some(Native::Other(class, _)) => {
                return Err(format!("msgpack has no type for a {class}"));
            }
            None => with_room(|| write_map(out, map))?,
        },
    }
    Ok(())
}

fn write_map(out: &mut Vec<u8>, map: &Map<String, Value>) -> Result<(), String> {
    encode::write_map_len(out, length(map.len())?).map_err(text)?;
    map.iter().try_for_each(|(key, value)| {
        encode::write_str(out, key).map_err(text)?;
        write(out, value)
    })
}

fn write_number(out: &mut Vec<u8>, number: &Number) -> Result<(), String> {
    if let Some(whole) = number.as_u64() {
        encode::write_uint(out, whole).map(drop).map_err(text)
    } else if let Some(whole) = number.as_i64() {
        encode::write_sint(out, whole).map(drop).map_err(text)
    } else {
        encode::write_f64(out, number.as_f64().unwrap_or_default()).map_err(text)
    }
}

fn length(length: usize) -> Result<u32, String> {
    u32::try_from(length).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are `msgpack.packb` of msgpack 1.2.4.
    #[test]
    fn what_cannot_be_carried_is_refused() {
        let nested = [vec![0x91; MAX_DEPTH + 2], vec![0xc0]].concat();
        let cases: [&[u8]; 6] = [
            b"",
            b"\x01\x01",                 // trailing data
            b"\xdd\xff\xff\xff\xff\xc0", // a list of 2^32 - 1 items, one there
            b"\xa1\xff",                 // a text that is not UTF-8
            b"\x81\x01\x02",             // {1: 2}
            b"\xd6\xff\x00\x00\x00\x00", // a timestamp
        ];
        for case in cases {
            assert!(loads(case).is_err(), "{case:?}");
        }
        assert!(loads(&nested).is_err());
        assert!(loads(&nested[2..]).is_ok());
    }
}
