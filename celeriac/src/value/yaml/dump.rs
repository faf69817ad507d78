//! Writing: one line of JSON's brackets, which are YAML too, with every text
//! in quotes so that none can be taken for anything else.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::scalar;
use crate::stack::with_room;
use crate::value::json::Number;
use crate::value::typed::{self, Native};

/// PyYAML finds the colon of a longer key only if the key is marked as one.
const LONGEST_KEY: usize = 1024;

pub(in crate::value) fn dumps(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    write(&mut out, value)?;
    Ok(out.into_bytes())
}

fn write(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => quote(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                with_room(|| write(out, item))?;
            }
            out.push(']');
        }
        Value::Object(map) => match typed::native(map) {
            Some(Native::Bytes(bytes)) => {
                out.push_str("!!binary ");
                quote(out, &BASE64_STANDARD.encode(bytes));
            }
            Some(Native::Number(number)) => out.push_str(match number {
                Number::Real(real) if real.is_nan() => ".nan",
                Number::Real(real) if real > 0.0 => ".inf",
                Number::Real(_) => "-.inf",
                Number::Whole(digits) => digits,
            }),
            Some(Native::Other(class, text)) => write_date(out, class, text)?,
            None => write_map(out, map)?,
        },
    }
    Ok(())
}

fn write_map(out: &mut String, map: &Map<String, Value>) -> Result<(), String> {
    out.push('{');
    for (index, (key, value)) in map.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        let start = out.len();
        quote(out, key);
        if out.len() - start > LONGEST_KEY {
            out.insert_str(start, "? ");
        }
        out.push_str(": ");
        with_room(|| write(out, value))?;
    }
    out.push('}');
    Ok(())
}

fn write_date(out: &mut String, class: &str, text: &str) -> Result<(), String> {
    let known = scalar::timestamp(text);
    if known.is_none_or(|known| known["__type__"] != class) {
        return Err(format!("yaml has no type for this {class}"));
    }
    out.push_str("!!timestamp ");
    quote(out, text);
    Ok(())
}

/// A float needs its point, and a sign in its exponent, to be one in YAML 1.1.
fn write_number(out: &mut String, number: &serde_json::Number) {
    let text = number.to_string();
    if !number.is_f64() {
        out.push_str(&text);
        return;
    }
    let (digits, exponent) = match text.split_once('e') {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (text.as_str(), None),
    };
    out.push_str(digits);
    if !digits.contains('.') {
        out.push_str(".0");
    }
    if let Some(exponent) = exponent {
        out.push_str(if exponent.starts_with(['-', '+']) {
            "e"
        } else {
            "e+"
        });
        out.push_str(exponent);
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..
                if !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}') =>
            {
                out.push(character);
            }
            // A `String` takes whatever is written to it.
            other => drop(write!(out, "\\u{:04x}", other as u32)),
        }
    }
    out.push('"');
}
