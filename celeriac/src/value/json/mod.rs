//! JSON as Python's `json` reads and writes it: with `NaN` and `Infinity`, with
//! integers of any size, and nested as deep as Python can nest.
//!
//! - `number`: numbers that `serde_json` has no place for
//! - `surrogates`: halves of characters, which no text in Rust can hold
//! - `write`, `read`: the same between Rust's types and [`Value`]s

mod number;
mod read;
#[cfg(feature = "redis")]
mod surrogates;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::de::SliceRead;
use serde_json::{Deserializer, Error, Map, Serializer, Value};

#[cfg(any(feature = "msgpack", feature = "yaml"))]
pub(super) use number::real;
pub(crate) use number::{Number, number};
pub(crate) use read::{Entries, Reader};
#[cfg(feature = "redis")]
pub(crate) use surrogates::without_lone_surrogates;
use write::Exact;

use crate::stack::{LEAST, MORE};

/// Reads JSON that Python wrote: with `NaN` and `Infinity`, and integers of any
/// size. As `json.loads`.
///
/// # Errors
/// If it is no JSON, not of this type, or nested deeper than 1,000 levels.
pub fn from_slice<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Error> {
    // Nearly always right, and far the fastest.
    if !number::may_be_long(raw)
        && let Ok(value) = parse(Deserializer::from_slice(raw))
    {
        return Ok(value);
    }
    let marked = number::marked(raw)?;
    let mut json = Deserializer::from_slice(&marked);
    // How deep it is has been looked at.
    json.disable_recursion_limit();
    parse(json)
}

fn parse<T: DeserializeOwned>(mut json: Deserializer<SliceRead<'_>>) -> Result<T, Error> {
    let mut roomy = serde_stacker::Deserializer::new(&mut json);
    (roomy.red_zone, roomy.stack_size) = (LEAST, MORE);
    let value = T::deserialize(roomy)?;
    json.end()?;
    Ok(value)
}

/// Writes JSON that Python reads: `NaN`, `Infinity` and integers of any size,
/// too. As `json.dumps`, without its blanks.
///
/// # Errors
/// If JSON cannot hold it: a map with keys that are no scalars, say.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut written = Vec::with_capacity(128);
    value.serialize(Exact(&mut Serializer::new(&mut written)))?;
    Ok(number::bare(written))
}

/// A value as messages carry it. As [`serde_json::to_value`], but no number
/// becomes another: `inf`, `nan` and integers beyond 64 bits are kept, and a
/// Python task gets them as its own.
///
/// # Errors
/// If JSON cannot hold it: a map with keys that are no scalars, say.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    value.serialize(Exact(serde_json::value::Serializer))
}

/// A value of this type that a message carried: what [`to_value`] makes.
///
/// # Errors
/// If it is of another.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Reader(value))
}

/// The same of a map's entries.
pub(crate) fn from_map<T: DeserializeOwned>(map: &Map<String, Value>) -> Result<T, Error> {
    T::deserialize(Entries::of(map))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::value::serializer::MAX_DEPTH;

    /// As `json.dumps` of Python writes it, but for the blanks.
    const FROM_PYTHON: &str = r#"{"inf":[Infinity,-Infinity,NaN],"big":[1180591620717411303424,-1180591620717411303424],"near":[18446744073709551615,-9223372036854775808],"text":"NaN, 1180591620717411303424 \" Infinity","real":[1.5e+300,0.1,-0.0]}"#;

    #[test]
    fn what_python_writes_comes_back() -> Result<(), Error> {
        let value: Value = from_slice(FROM_PYTHON.as_bytes())?;
        assert_eq!(value["near"], json!([u64::MAX, i64::MIN]));
        assert_eq!(
            String::from_utf8_lossy(&to_vec(&value)?).replace("1.5e300", "1.5e+300"),
            FROM_PYTHON
        );
        assert_eq!(
            from_slice::<Value>(b"[1e999]")?,
            to_value(&[f64::INFINITY])?
        );
        Ok(())
    }

    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    struct Numbers {
        real: Vec<f64>,
        some: Option<f32>,
        whole: (i128, u128),
        by: BTreeMap<i32, Way>,
    }

    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    enum Way {
        Unit,
        Of(f64),
        Both { x: f64, y: (u8, f64) },
    }

    #[test]
    fn rust_has_them_as_its_own_numbers() -> Result<(), Error> {
        let infinity = f64::INFINITY;
        let numbers = Numbers {
            real: vec![infinity, -infinity, 1.5],
            some: Some(f32::NEG_INFINITY),
            whole: (i128::MIN, u128::MAX),
            by: BTreeMap::from([
                (-1, Way::Unit),
                (2, Way::Of(infinity)),
                (
                    3,
                    Way::Both {
                        x: 1.0,
                        y: (7, -infinity),
                    },
                ),
            ]),
        };
        let value = to_value(&numbers)?;
        assert_eq!(from_value::<Numbers>(&value)?, numbers);
        let written = to_vec(&numbers)?;
        assert_eq!(from_slice::<Value>(&written)?, value);
        assert!(from_value::<f64>(&to_value(&f64::NAN)?)?.is_nan());
        let refused = from_value::<i64>(&to_value(&u128::MAX)?);
        assert!(refused.is_err_and(|error| error.to_string().contains("out of range")));
        Ok(())
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        let by_pair = BTreeMap::from([((1, 2), 3)]);
        assert!(to_value(&by_pair).is_err() && to_vec(&by_pair).is_err());
    }

    /// A mark that is not this program's own is no way around JSON.
    #[test]
    fn a_forged_number_stays_what_it_is() -> Result<(), Error> {
        for text in ["1, 2", "5", "nan", "", "01180591620717411303424"] {
            let forged = json!([{"__type__": number::KIND, "__value__": text}]);
            assert_eq!(serde_json::from_slice::<Value>(&to_vec(&forged)?)?, forged);
        }
        Ok(())
    }

    /// On a thread of a test, whose stack is as large as those of tokio.
    #[test]
    fn what_is_deep_is_read_written_and_dropped() -> Result<(), Error> {
        for (open, middle, close) in [("[", "", "]"), (r#"{"k":"#, "1", "}")] {
            let nested = |depth: usize| open.repeat(depth) + middle + &close.repeat(depth);
            let text = nested(MAX_DEPTH);
            let value: Value = from_slice(text.as_bytes())?;
            let copy = from_value::<Value>(&to_value(&value.clone())?)?;
            assert!(copy == value && !format!("{value:?}").is_empty());
            assert_eq!(to_vec(&copy)?, text.as_bytes());
            let refused = from_slice::<Value>(nested(MAX_DEPTH + 1).as_bytes());
            assert!(refused.is_err_and(|error| error.to_string().contains("deeper than")));
            assert!(from_slice::<Value>(open.repeat(1 << 20).as_bytes()).is_err());
        }
        Ok(())
    }
}
