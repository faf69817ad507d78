//! Headers that say the same in another way: numbers with a fraction of
//! nothing, `null` for what is left out. Producers in other languages write
//! them, and Python does not mind.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// A value, its default for `null`.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A whole number, if there is one: `1`, `1.0`, `null`.
pub(super) fn count<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let Some(number) = Option::<f64>::deserialize(deserializer)? else {
        return Ok(None);
    };
    // Negative ones, too, become 0: the conversion saturates.
    let whole = T::try_from(number as u64);
    let whole = whole.map_err(|_| D::Error::custom(format!("{number} is out of range")));
    whole.map(Some)
}

/// As [`count`], 0 for `null`.
pub(super) fn count_or_zero<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64> + Default,
{
    Ok(count(deserializer)?.unwrap_or_default())
}

/// Whether something is so: what Python takes for true. `None` if it is not said.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Some(match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }))
}

/// `timelimit`: a list of two, one, none, or no list at all.
pub(super) fn limits<'de, D>(deserializer: D) -> Result<(Option<Number>, Option<Number>), D::Error>
where
    D: Deserializer<'de>,
{
    let limits = Option::<Vec<Option<Number>>>::deserialize(deserializer)?;
    let mut limits = limits.unwrap_or_default().into_iter();
    Ok((limits.next().flatten(), limits.next().flatten()))
}
