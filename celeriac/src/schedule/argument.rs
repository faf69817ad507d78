//! Values of an entry, from TOML as from JSON: dates and numbers that JSON has
//! no type for stay what they are, and a Python task gets them as its own.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use toml::value::{Datetime, Offset};

use crate::value::json;
use crate::value::typed::{Typed, WireType};

/// The name under which TOML's deserializer hands out a date.
const DATETIME: &str = "$__toml_private_datetime";

/// What [`Argument`] makes of it, as a `T`.
pub(super) fn exact<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Argument(value) = Argument::deserialize(deserializer)?;
    json::from_value(&value).map_err(D::Error::custom)
}

/// A value as messages carry it.
struct Argument(Value);

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

macro_rules! scalars {
    ($($name:ident($type:ty);)*) => {
        $(fn $name<E: Error>(self, value: $type) -> Result<Value, E> {
            json::to_value(&value).map_err(E::custom)
        })*
    };
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    scalars! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_i128(i128);
        visit_u128(u128);
        visit_f64(f64);
        visit_str(&str);
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Argument(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key == DATETIME {
                let text: String = entries.next_value()?;
                return moment(&text)
                    .ok_or_else(|| A::Error::custom(format!("{text} is no date of Python's")));
            }
            let Argument(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

/// A date of TOML's in kombu's typed JSON.
fn moment(text: &str) -> Option<Value> {
    let Datetime { date, time, offset } = text.parse().ok()?;
    let date = match date {
        Some(date) => Some(NaiveDate::from_ymd_opt(
            date.year.into(),
            date.month.into(),
            date.day.into(),
        )?),
        None => None,
    };
    let time = match time {
        Some(time) => Some(NaiveTime::from_hms_nano_opt(
            time.hour.into(),
            time.minute.into(),
            time.second.unwrap_or_default().into(),
            time.nanosecond.unwrap_or_default(),
        )?),
        None => None,
    };
    match (date, time, offset) {
        (Some(date), Some(time), Some(offset)) => aware(date.and_time(time), offset),
        (Some(date), Some(time), None) => typed(date.and_time(time)),
        (Some(date), None, _) => typed(date),
        (None, Some(time), _) => typed(time),
        (None, None, _) => None,
    }
}

fn aware(local: NaiveDateTime, offset: Offset) -> Option<Value> {
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i32::from(minutes),
    };
    let zone = FixedOffset::east_opt(minutes * 60)?;
    let instant: DateTime<FixedOffset> = zone.from_local_datetime(&local).single()?;
    typed(instant)
}

fn typed<T: WireType>(value: T) -> Option<Value> {
    json::to_value(&Typed(value)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::BeatEntry;
    use crate::value::json::to_vec;

    #[test]
    fn what_toml_has_a_type_for_keeps_it() -> Result<(), Box<dyn std::error::Error>> {
        let text = "
            task = 't'
            schedule = 5
            args = [1979-05-27T07:32:00.5-07:00, 1979-05-27 07:32:00Z, [1979-05-27T07:32:00],
                    1979-05-27, 07:32:00, -inf, 1.0]
            kwargs = { x = { y = nan, z = 1979-05-27 } }
            options = { expires = 2030-01-01T00:00:00Z }
        ";
        let entry: BeatEntry = toml::from_str(text)?;
        let typed = |kind: &str, text: &str| json!({"__type__": kind, "__value__": text});
        let aware = typed("datetime", "1979-05-27T07:32:00.500000-07:00");
        assert_eq!(entry.args[0], aware);
        assert_eq!(
            entry.args[1],
            typed("datetime", "1979-05-27T07:32:00+00:00")
        );
        assert_eq!(
            entry.args[2],
            json!([typed("datetime", "1979-05-27T07:32:00")])
        );
        assert_eq!(entry.args[3], typed("date", "1979-05-27"));
        assert_eq!(entry.args[4], typed("time", "07:32:00"));
        assert_eq!(to_vec(&entry.args[5..])?, b"[-Infinity,1.0]");
        let written = to_vec(&entry.kwargs)?;
        let day = r#"{"__type__":"date","__value__":"1979-05-27"}"#;
        let expected = format!(r#"{{"x":{{"y":NaN,"z":{day}}}}}"#);
        assert_eq!(String::from_utf8(written)?, expected);
        // And again from the file or the list that beats keep.
        let kept = serde_json::from_value::<BeatEntry>(serde_json::to_value(&entry)?)?;
        assert_eq!(kept, entry);
        let expires = entry.signature().options.expires;
        assert!(
            expires
                .is_some_and(|expires| expires == typed("datetime", "2030-01-01T00:00:00+00:00"))
        );
        Ok(())
    }
}
