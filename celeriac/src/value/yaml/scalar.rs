//! What a scalar means: YAML 1.1, by PyYAML's resolver
//! (`yaml/resolver.py`, `yaml/constructor.py`).

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::NaiveDate;
use regex::Regex;
use serde_json::{Value, json};

use crate::value::instant::isoformat_naive;
use crate::value::json::real;
use crate::value::json::{self, Number};

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($pattern).expect("a constant that a test compiles"));
    };
}

pattern!(
    INT,
    r"^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*(:[0-5]?[0-9])*)$"
);
pattern!(
    FLOAT,
    r"^([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
);
pattern!(
    TIMESTAMP,
    r"^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?(?:[ \t]*(?:(Z)|([-+])([0-9]{1,2})(?::([0-9]{2}))?))?)?$"
);

/// The value of a scalar; `tag` is its type if it names one.
pub(super) fn value(text: &str, plain: bool, tag: Option<&str>) -> Result<Value, String> {
    match tag {
        None if plain => resolve(text),
        None | Some("str") => Ok(text.into()),
        Some("binary") => binary(text),
        Some("timestamp") => timestamp(text).ok_or_else(|| not_a("timestamp", text)),
        Some(tag @ ("int" | "float" | "bool" | "null")) => {
            let value = resolve(text)?;
            let fits = match tag {
                "int" => (value.is_number() && !value.is_f64()) || value.is_object(),
                "float" => value.is_number() || value.is_object(),
                "bool" => value.is_boolean(),
                _ => value.is_null(),
            };
            fits.then_some(value).ok_or_else(|| not_a(tag, text))
        }
        Some(tag) => Err(not_a(tag, text)),
    }
}

fn not_a(kind: &str, text: &str) -> String {
    format!("cannot read {text:.80?} as !!{kind}")
}

/// A plain scalar, by its looks.
fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(true.into());
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(false.into());
        }
        "<<" => return Err("merge keys are not supported".to_owned()),
        "=" => return Err("cannot read a plain =".to_owned()),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Ok(text.into());
    }
    if INT.is_match(text) {
        return int(text).ok_or_else(|| format!("{text:.80} does not fit in 128 bits"));
    }
    if FLOAT.is_match(text) {
        return Ok(real(float(text).ok_or_else(|| not_a("float", text))?));
    }
    Ok(timestamp(text).unwrap_or_else(|| text.into()))
}

fn int(text: &str) -> Option<Value> {
    let digits = text.replace('_', "");
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    if let Some(number) = Number::read(&format!("{}{digits}", if negative { "-" } else { "" })) {
        return Some(number.value());
    }
    let size = if let Some(bits) = digits.strip_prefix("0b") {
        i128::from_str_radix(bits, 2).ok()?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()?
    } else {
        let places = digits.split(':').map(|place| place.parse::<i128>().ok());
        places.reduce(|sum, place| sum?.checked_mul(60)?.checked_add(place?))??
    };
    let whole = if negative { -size } else { size };
    json::to_value(&whole).ok()
}

fn float(text: &str) -> Option<f64> {
    let digits = text.replace('_', "").to_lowercase();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let size = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ => {
            let places = digits.split(':').map(|place| place.parse::<f64>().ok());
            places.reduce(|sum, place| Some(sum? * 60.0 + place?))??
        }
    };
    Some(sign * size)
}

/// A date or an instant as typed JSON, in the words of Python's `isoformat`.
pub(super) fn timestamp(text: &str) -> Option<Value> {
    let found = TIMESTAMP.captures(text)?;
    let group = |index| found.get(index).map(|group| group.as_str());
    let number = |index| group(index).and_then(|digits| digits.parse::<u32>().ok());
    let year = group(1)?.parse().ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(2)?, number(3)?)?;
    let Some(hour) = number(4) else {
        // A date alone has two digits for month and day.
        let exact = text.len() == 10;
        return exact.then(|| json!({"__type__": "date", "__value__": date.to_string()}));
    };
    let fraction = format!("{:0<6.6}", group(7).unwrap_or_default());
    let micros = fraction.parse().ok()?;
    let time = date.and_hms_micro_opt(hour, number(5)?, number(6)?, micros)?;
    let zone = match (group(8), group(9)) {
        (Some(_), _) => "+00:00".to_owned(),
        (None, Some(sign)) => format!("{sign}{:02}:{:02}", number(10)?, number(11).unwrap_or(0)),
        (None, None) => String::new(),
    };
    Some(json!({"__type__": "datetime", "__value__": isoformat_naive(time) + &zone}))
}

fn binary(text: &str) -> Result<Value, String> {
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(packed);
    let bytes = bytes.map_err(|error| error.to_string())?;
    Ok(crate::value::typed::bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is what `yaml.safe_load` of PyYAML 6.0.3 makes of the text.
    #[test]
    fn plain_scalars_mean_what_they_mean_to_pyyaml() -> Result<(), String> {
        let cases = [
            ("0o17", json!("0o17")),
            ("017", json!(15)),
            ("08", json!("08")),
            ("-0x1F", json!(-31)),
            ("0b1_01", json!(5)),
            ("1_000", json!(1000)),
            ("1:30", json!(90)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1e3", json!("1e3")),
            ("1.0e+3", json!(1000.0)),
            (".5", json!(0.5)),
            ("-1:30.5", json!(-90.5)),
            ("+.", json!("+.")),
            ("y", json!("y")),
            ("off", json!(false)),
            ("2026-1-2", json!("2026-1-2")),
            ("2026-13-01", json!("2026-13-01")),
        ];
        for (text, meant) in cases {
            assert_eq!(resolve(text)?, meant, "{text}");
        }
        let whole = |text| Number::Whole(text).value();
        let (power, negative) = ("18446744073709551616", "-18446744073709551616");
        assert_eq!(resolve("18_446744073709551616")?, whole(power));
        assert_eq!(resolve(negative)?, whole(negative));
        assert_eq!(resolve("0x10000000000000000")?, whole(power));
        assert_eq!(resolve("-.inf")?, Number::Real(f64::NEG_INFINITY).value());
        Ok(())
    }

    #[test]
    fn timestamps_become_dates_and_instants() {
        let read = |text| timestamp(text).map(|value| value["__value__"].clone());
        assert_eq!(read("2026-01-02"), Some(json!("2026-01-02")));
        let instants = [
            ("2026-1-2 3:04:05", "2026-01-02T03:04:05"),
            ("2026-01-02t03:04:05.5Z", "2026-01-02T03:04:05.500000+00:00"),
            (
                "2026-01-02 03:04:05.1234567 -2",
                "2026-01-02T03:04:05.123456-02:00",
            ),
        ];
        for (text, meant) in instants {
            assert_eq!(read(text), Some(json!(meant)), "{text}");
        }
    }
}
