//! Headers, properties and options that say the same in another way: numbers
//! with a fraction of nothing or in quotes, numbers for names, `null` for what
//! is left out. Python does not mind them, or not before it needs them, so
//! they must not cost a message. What means nothing is taken as not said.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::{repr, typed};

/// The highest priority that there is: kombu takes a higher one for this.
const MAX_PRIORITY: u8 = 9;

/// A value, its default for `null`.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A value, if it is of its type.
pub(crate) fn if_fit<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// A whole number, if there is one: `1`, `1.0`, `"1"`, `true`.
pub(crate) fn count<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = seconds(deserializer)?;
    // Negative ones become 0: the conversion saturates.
    Ok(number.and_then(|number| T::try_from(number as u64).ok()))
}

/// As [`count`], 0 if there is none.
pub(crate) fn count_or_zero<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64> + Default,
{
    Ok(count(deserializer)?.unwrap_or_default())
}

/// A priority, within its bounds.
pub(crate) fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    let number = seconds(deserializer)?;
    Ok(number.map(|number| (number as u8).min(MAX_PRIORITY)))
}

/// A number of any kind, if there is one.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let number = as_number(Value::deserialize(deserializer)?);
    Ok(number.and_then(|number| number.as_f64()))
}

/// A number as it is written, if there is one: a `60` stays a `60`.
pub(crate) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Number>, D::Error> {
    Value::deserialize(deserializer).map(as_number)
}

/// As Python's `int` and `float` have it.
fn as_number(value: Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number),
        Value::Bool(flag) => Some(u8::from(flag).into()),
        Value::String(text) => text.trim().parse().ok(),
        other => typed::text(&other)?.trim().parse().ok(),
    }
}

/// A text, or what Python prints of something else: an id may be a UUID.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(deserializer).map(as_text)
}

/// As [`text`], empty if there is none.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(text(deserializer)?.unwrap_or_default())
}

/// A list of texts, as [`text`] has them; one by itself is a list of one.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => Some(items.into_iter().filter_map(as_text).collect()),
        other => as_text(other).map(|text| vec![text]),
    })
}

/// What [`text`] makes of a value.
pub(crate) fn as_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(match typed::text(&other) {
            Some(text) => text.into_owned(),
            None => repr::text(&other),
        }),
    }
}

/// Whether something is so: what Python takes for true. `None` if it is not said.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Some(match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }))
}

/// As [`flag`], false if it is not said.
pub(crate) fn is_set<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(flag(deserializer)?.unwrap_or_default())
}

/// `timelimit`: a list of two, one, none, or no list at all.
pub(crate) fn limits<'de, D>(deserializer: D) -> Result<(Option<Number>, Option<Number>), D::Error>
where
    D: Deserializer<'de>,
{
    let limits = if_fit::<_, Vec<Value>>(deserializer)?.unwrap_or_default();
    let mut limits = limits.into_iter().map(as_number);
    Ok((limits.next().flatten(), limits.next().flatten()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Error, json};

    use super::*;

    /// Each with what Python makes of it: `int(value)`, or what it does without.
    #[test]
    fn numbers_are_within_bounds_or_not_there() -> Result<(), Error> {
        let read = |value: Value| priority(value);
        for (value, expected) in [
            (json!(300), Some(9)),
            (json!(-1), Some(0)),
            (json!(5.0), Some(5)),
            (json!(true), Some(1)),
            (json!("3"), Some(3)),
            (json!("high"), None),
            (json!([3]), None),
            (json!(null), None),
        ] {
            assert_eq!(read(value.clone())?, expected, "{value}");
        }
        assert_eq!(count::<_, u32>(json!(1e300))?, None);
        assert_eq!(limits(json!(["5", {}]))?, (Some(5.into()), None));
        assert_eq!(limits(json!(5))?, (None, None));
        Ok(())
    }

    #[test]
    fn texts_and_flags_are_what_python_takes_them_for() -> Result<(), Error> {
        assert_eq!(text(json!(5))?.as_deref(), Some("5"));
        assert_eq!(text(json!(true))?.as_deref(), Some("True"));
        let typed = |kind: &str, value: Value| json!({"__type__": kind, "__value__": value});
        let id = "00000000-0000-4000-8000-000000000001";
        let hex = json!({"hex": id.replace('-', "")});
        assert_eq!(text(typed("uuid", hex.clone()))?.as_deref(), Some(id));
        assert_eq!(name(typed("bytes", "a".into()))?, "a");
        let both = texts(json!([typed("uuid", hex), 5]))?;
        assert_eq!(both, Some(vec![id.to_owned(), "5".to_owned()]));
        let decimal = typed("decimal", "1.5".into());
        assert_eq!(seconds(decimal.clone())?, Some(1.5));
        assert_eq!(
            limits(json!([decimal, null]))?,
            (Number::from_f64(1.5), None)
        );
        assert_eq!(flag(json!(1))?, Some(true));
        assert!(!is_set(json!(null))? && !is_set(json!(0))? && is_set(json!("no"))?);
        Ok(())
    }
}
