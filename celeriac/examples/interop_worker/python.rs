//! Python's operators, as far as JSON values can be their operands.

use celeriac::Failure;
use celeriac::value::typed::{Bytes, Typed};
use celeriac::value::{from_value, to_value};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `x + y`
pub fn add(x: &Value, y: &Value) -> Result<Value, Failure> {
    match (x, y) {
        (Value::String(x), Value::String(y)) => Ok(format!("{x}{y}").into()),
        (Value::Array(x), Value::Array(y)) => Ok([x.as_slice(), y].concat().into()),
        (Value::String(_) | Value::Array(_), _) => Err(type_error(format!(
            "can only concatenate {0} (not \"{1}\") to {0}",
            kind(x),
            kind(y)
        ))),
        _ => arithmetic("+", x, y, i128::checked_add, |x, y| x + y),
    }
}

/// `x * y`
pub fn mul(x: &Value, y: &Value) -> Result<Value, Failure> {
    match (x, y) {
        (Value::String(text), count) | (count, Value::String(text)) => {
            Ok(text.repeat(repetitions(count)?).into())
        }
        (Value::Array(list), count) | (count, Value::Array(list)) => {
            Ok(vec![list.as_slice(); repetitions(count)?].concat().into())
        }
        _ => arithmetic("*", x, y, i128::checked_mul, |x, y| x * y),
    }
}

/// `sum(nums)`
pub fn sum(nums: &Value) -> Result<Value, Failure> {
    let nums = nums.as_array();
    let nums = nums.ok_or_else(|| type_error("object is not iterable"))?;
    nums.iter()
        .try_fold(Value::from(0), |total, num| add(&total, num))
}

/// `bool(x)`
pub fn truth(x: &Value) -> bool {
    match x {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(dict) => !dict.is_empty(),
    }
}

/// What Python's Redis client writes for a value: bytes as they are, and
/// `str(x)` of all else, where JSON and Python print alike.
pub fn written(x: &Value) -> Vec<u8> {
    if let Ok(Typed(Bytes(bytes))) = Typed::deserialize(x) {
        return bytes;
    }
    x.as_str()
        .map_or_else(|| x.to_string(), str::to_owned)
        .into()
}

fn arithmetic(
    operator: &str,
    x: &Value,
    y: &Value,
    whole: fn(i128, i128) -> Option<i128>,
    real: fn(f64, f64) -> f64,
) -> Result<Value, Failure> {
    if let (Some(x), Some(y)) = (integer(x), integer(y)) {
        let result = whole(x, y);
        let result = result.ok_or_else(|| Failure::new("OverflowError", "int too large"))?;
        return value(result);
    }
    match (number(x), number(y)) {
        (Some(x), Some(y)) => value(real(x, y)),
        _ => Err(type_error(format!(
            "unsupported operand type(s) for {operator}: '{}' and '{}'",
            kind(x),
            kind(y)
        ))),
    }
}

fn value(number: impl Serialize) -> Result<Value, Failure> {
    to_value(&number).map_err(|error| Failure::new("OverflowError", error.to_string()))
}

fn repetitions(count: &Value) -> Result<usize, Failure> {
    let count = integer(count).ok_or_else(|| {
        type_error(format!(
            "can't multiply sequence by non-int of type '{}'",
            kind(count)
        ))
    })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Python's booleans are integers.
fn integer(x: &Value) -> Option<i128> {
    from_value(x).ok().or_else(|| x.as_bool().map(i128::from))
}

fn number(x: &Value) -> Option<f64> {
    from_value(x)
        .ok()
        .or_else(|| x.as_bool().map(|x| f64::from(u8::from(x))))
}

fn kind(x: &Value) -> &'static str {
    match x {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

fn type_error(message: impl Into<Value>) -> Failure {
    Failure::new("TypeError", message)
}
