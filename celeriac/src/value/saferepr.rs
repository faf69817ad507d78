//! Values as `argsrepr`, `kwargsrepr` and events show them
//! (`celery/utils/saferepr.py`): much as Python's `repr`, but texts keep their
//! backslashes and line breaks, and what is long or deep is cut.

use serde_json::{Map, Number, Value};

use super::typed::{self, Native};

/// Characters, as `argsrepr_maxsize` of `celery.app.amqp.AMQP` and
/// `resultrepr_maxsize` of a task.
const LONGEST: usize = 1024;
/// Containers in each other.
const DEEPEST: usize = 3;

/// Positional arguments as a tuple: `(1, 'a')`.
pub fn args(args: &[Value]) -> String {
    let close = if args.len() == 1 { ",)" } else { ")" };
    Writer::write(|writer| writer.items("(", close, args))
}

/// Keyword arguments as a dict: `{'a': 1}`.
pub fn kwargs(kwargs: &Map<String, Value>) -> String {
    Writer::write(|writer| writer.dict(kwargs))
}

/// Any value.
pub fn value(value: &Value) -> String {
    Writer::write(|writer| writer.value(value))
}

/// Writes until there is enough.
struct Writer {
    out: String,
    /// Characters that may follow.
    left: usize,
    /// Containers that are open.
    depth: usize,
    /// Whether something has been left out. Nothing follows but the ends of
    /// what is open.
    cut: bool,
}

impl Writer {
    fn write(what: impl FnOnce(&mut Self)) -> String {
        let mut writer = Self {
            out: String::new(),
            left: LONGEST,
            depth: 0,
            cut: false,
        };
        what(&mut writer);
        writer.out
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.token("None"),
            Value::Bool(true) => self.token("True"),
            Value::Bool(false) => self.token("False"),
            Value::Number(of) => self.token(&truncate(&number(of), self.left)),
            Value::String(text) => self.quoted(text),
            Value::Array(items) => self.items("[", "]", items),
            Value::Object(map) => match typed::native(map) {
                Some(Native::Bytes(bytes)) => self.bytes(&bytes),
                Some(Native::Number(of)) => self.token(&truncate(of.repr(), self.left)),
                _ => self.dict(map),
            },
        }
    }

    fn items(&mut self, open: &str, close: &str, items: &[Value]) {
        self.container(open, close, |writer| {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    writer.token(", ");
                }
                if writer.cut {
                    return;
                }
                writer.value(item);
            }
        });
    }

    fn dict(&mut self, map: &Map<String, Value>) {
        self.container("{", "}", |writer| {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    writer.token(", ");
                }
                if writer.cut {
                    return;
                }
                writer.quoted(key);
                writer.token(": ");
                writer.value(value);
            }
        });
    }

    fn container(&mut self, open: &str, close: &str, inside: impl FnOnce(&mut Self)) {
        if self.depth >= DEEPEST {
            return self.token(&format!("{open}...{close}"));
        }
        self.token(open);
        if self.cut {
            return;
        }
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        // Whatever else is left out, what is open is closed.
        self.out.push_str(close);
        self.left = self.left.saturating_sub(close.len());
    }

    fn quoted(&mut self, text: &str) {
        let text = truncate(text, self.left).replace('\'', "\\'");
        self.token(&format!("'{text}'"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (shown, more) = match bytes.get(..self.left) {
            Some(shown) if shown.len() < bytes.len() => (shown, "..."),
            _ => (bytes, ""),
        };
        let text = match std::str::from_utf8(shown) {
            Ok(text) => text.to_owned(),
            Err(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        self.token(&format!("b'{text}{more}'"));
    }

    fn token(&mut self, text: &str) {
        if self.cut {
            return;
        }
        if self.left == 0 {
            self.cut = true;
            return self.out.push_str(", ...");
        }
        self.out.push_str(text);
        self.left = self.left.saturating_sub(text.chars().count());
    }
}

/// As `celery.utils.text.truncate`: at the last blank there is.
fn truncate(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        None => text.to_owned(),
        // Nothing is shown anyway.
        Some(_) if most == 0 => text.to_owned(),
        Some((last, character)) => {
            let begin = text.get(..last + character.len_utf8()).unwrap_or(text);
            let words = begin.rsplit_once(' ').map_or(begin, |(words, _)| words);
            format!("{words}...")
        }
    }
}

/// Python writes exponents with a sign, and at least two digits.
fn number(number: &Number) -> String {
    let text = number.to_string();
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent.trim_start_matches('+')),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // What is expected is what Celery 5.7 answers.

    #[test]
    fn values_are_shown_as_celery_shows_them() {
        let cases = [
            (json!("it's \"so\""), r#"'it\'s "so"'"#),
            (json!("x\n\\"), "'x\n\\'"),
            (
                json!({"k'": [null, true, 1.5, 1e16]}),
                r"{'k\'': [None, True, 1.5, 1e+16]}",
            ),
            (
                json!([[[[1]]], {"a": {"b": {"c": 1}}}]),
                "[[[[...]]], {'a': {'b': {...}}}]",
            ),
            (
                json!({"__type__": "base64", "__value__": "dGV4dA=="}),
                "b'text'",
            ),
            (json!([]), "[]"),
        ];
        for (shown, expected) in cases {
            assert_eq!(value(&shown), expected);
        }
        assert_eq!(args(&[json!(1)]), "(1,)");
        assert_eq!(args(&[]), "()");
    }

    #[test]
    fn what_is_long_is_cut() {
        let numbers = value(&Value::from((0..1000).collect::<Vec<_>>()));
        assert!(numbers.ends_with(", 225, 226..., ...]"), "{numbers}");
        assert_eq!(numbers.len(), 1033);
        let text = "x".repeat(5000);
        let expected = format!("('{}...',)", "x".repeat(1023));
        assert_eq!(args(&[text.into()]), expected);
        assert_eq!(value(&"word ".repeat(1000).into()).len(), 1024);
    }
}
