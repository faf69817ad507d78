//! Values as Python's `repr` prints them.

use serde_json::{Map, Value};

use super::json::number;

/// What is shown of arguments is cut off at this many characters.
const MAX: usize = 1024;

/// Positional arguments as a tuple: `(1, 'a')`.
pub fn args(args: &[Value]) -> String {
    let mut out = String::from("(");
    join(&mut out, args, write);
    out.push_str(if args.len() == 1 { ",)" } else { ")" });
    cut(out)
}

/// Keyword arguments as a dict: `{'a': 1}`.
pub fn kwargs(kwargs: &Map<String, Value>) -> String {
    let mut out = String::new();
    dict(&mut out, kwargs);
    cut(out)
}

/// Any value, whole.
pub fn value(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// Any value as Python's `str` prints it: a text without quotes.
pub fn text(of: &Value) -> String {
    match of {
        Value::String(text) => text.clone(),
        other => value(other),
    }
}

/// A text with its quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    string(&mut out, text);
    out
}

/// A set of texts: `{'a', 'b'}`.
pub fn set(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    match items.as_slice() {
        [] => "set()".to_owned(),
        items => format!("{{{}}}", items.join(", ")),
    }
}

fn write(out: &mut String, item: &Value) {
    match item {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            out.push('[');
            join(out, items, write);
            out.push(']');
        }
        Value::Object(map) => match number(map) {
            Some(number) => out.push_str(number.repr()),
            None => dict(out, map),
        },
    }
}

fn dict(out: &mut String, map: &Map<String, Value>) {
    out.push('{');
    join(out, map, |out, (key, item)| {
        string(out, key);
        out.push_str(": ");
        write(out, item);
    });
    out.push('}');
}

fn join<I: IntoIterator>(out: &mut String, items: I, each: impl Fn(&mut String, I::Item)) {
    for (index, item) in items.into_iter().enumerate() {
        if out.len() > MAX {
            return;
        }
        if index > 0 {
            out.push_str(", ");
        }
        each(out, item);
    }
}

fn string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for character in text.chars().take(MAX) {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_as_python_does() {
        let list = [
            json!(1),
            json!(null),
            json!([true, 1.5]),
            json!({"a": "it's"}),
        ];
        assert_eq!(args(&list), "(1, None, [True, 1.5], {'a': \"it's\"})");
        assert_eq!(args(&[json!("x\n")]), "('x\\n',)");
        assert_eq!(args(&[]), "()");
        assert!(args(&[json!("x".repeat(5000))]).len() < 1100);
    }
}
