//! What a struct of arguments wants in each of its fields, found out by
//! reading it from values of every kind: rusty-celery's macro keeps nothing of
//! its arguments but their names.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Parameter;
use super::hint::Hint;

/// The fields of `T`, which has these `names` in this order.
pub(crate) fn parameters<T: DeserializeOwned>(names: &[&str]) -> Vec<Parameter> {
    let mut probe = Probe::<T> {
        names,
        given: Map::new(),
        read: |given| serde_json::from_value(Value::Object(given)),
    };
    let stopped = probe.give_required();
    let known = stopped.and_then(|name| names.iter().position(|other| *other == name));
    let known = known.unwrap_or(names.len());
    let parameter = |(place, name): (usize, &&str)| {
        let required = probe.given.contains_key(*name);
        Parameter {
            name: (*name).to_owned(),
            default: (place < known && !required).then_some(Value::Null),
            keyword_only: false,
            hint: stopped.is_none().then(|| probe.hint(name)),
            unsure: place > known,
        }
    };
    names.iter().enumerate().map(parameter).collect()
}

struct Probe<'a, T> {
    names: &'a [&'a str],
    /// A value for each required field that has been found.
    given: Map<String, Value>,
    read: fn(Map<String, Value>) -> serde_json::Result<T>,
}

impl<'a, T> Probe<'a, T> {
    /// Finds the required fields, in order. The name of the first that takes
    /// none of our values, after which nothing can be found.
    fn give_required(&mut self) -> Option<&'a str> {
        while let Some(name) = self.missing(&self.given) {
            let fits = |value: &Value| {
                let given = self.with(name, value);
                self.missing(&given).is_some() || (self.read)(given).is_ok()
            };
            match kinds().into_iter().find(fits) {
                Some(value) => self.given.insert(name.to_owned(), value),
                None => return Some(name),
            };
        }
        None
    }

    /// The first required field that is not given, if all that is given fits.
    fn missing(&self, given: &Map<String, Value>) -> Option<&'a str> {
        let error = (self.read)(given.clone()).err()?.to_string();
        let field = error.strip_prefix("missing field `")?.split('`').next()?;
        let mut names = self.names.iter();
        let name = names.find(|name| **name == field)?;
        (!given.contains_key(*name)).then_some(*name)
    }

    fn with(&self, name: &str, value: &Value) -> Map<String, Value> {
        let mut given = self.given.clone();
        given.insert(name.to_owned(), value.clone());
        given
    }

    /// What fits in a field, when all others are given.
    fn hint(&self, name: &str) -> Hint {
        let fits = |value: &Value| (self.read)(self.with(name, value)).is_ok();
        let none = if fits(&Value::Null) { " | None" } else { "" };
        let fitting: Vec<Value> = kinds().into_iter().filter(fits).collect();
        let python = match fitting.as_slice() {
            [Value::Bool(_)] => "bool",
            [Value::String(_)] => "str",
            [Value::Array(_)] => "list[Any]",
            [Value::Object(_)] => "dict[str, Any]",
            [Value::Number(whole)] if whole.is_u64() => "int",
            [Value::Number(_)] | [Value::Number(_), Value::Number(_)] => "float",
            _ => return Hint::any(),
        };
        Hint::python(format!("{python}{none}"))
    }
}

/// A value of each kind that JSON has.
fn kinds() -> [Value; 6] {
    [
        json!(false),
        json!(0),
        json!(0.5),
        json!(""),
        json!([]),
        json!({}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its types matter")]
    struct Simple {
        count: Option<u8>,
        name: String,
        ratio: f64,
        any: Value,
        list: Vec<Simple>,
        deep: Option<bool>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its types matter")]
    struct Nested {
        first: Option<i64>,
        simple: Simple,
        last: Option<i64>,
    }

    fn found<T: DeserializeOwned>(names: &[&str]) -> Vec<(bool, bool, String)> {
        let found = parameters::<T>(names).into_iter().map(|parameter| {
            let hint = parameter.hint.map(|hint| hint.to_string());
            let required = parameter.default.is_none() && !parameter.unsure;
            (required, parameter.unsure, hint.unwrap_or_default())
        });
        found.collect()
    }

    #[test]
    fn fields_tell_what_they_are() {
        let names = ["count", "name", "ratio", "any", "list", "deep"];
        let wanted = [
            (false, "int | None"),
            (true, "str"),
            (true, "float"),
            // A `Value` can be `null`, but must be there.
            (true, "Any"),
            (true, "list[Any]"),
            (false, "bool | None"),
        ];
        let wanted = wanted.map(|(required, hint)| (required, false, hint.to_owned()));
        assert_eq!(found::<Simple>(&names), wanted);
    }

    #[test]
    fn what_is_beyond_a_struct_is_not_known() {
        let unknown = String::new;
        assert_eq!(
            found::<Nested>(&["first", "simple", "last"]),
            [
                (false, false, unknown()),
                (true, false, unknown()),
                (false, true, unknown())
            ]
        );
    }
}
