//! Values as Python and JSON write them, which share most of their forms.

use toml::{Table, Value};

/// Deeper than any setting.
const DEEPEST: usize = 32;

/// The value of a text that is one JSON value or Python literal, if TOML has
/// it. Options that are None are left out; elsewhere there is no None.
pub(super) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)??;
    reader.rest.trim().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// `Some(None)` is None.
    fn value(&mut self, depth: usize) -> Option<Option<Value>> {
        if depth > DEEPEST {
            return None;
        }
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => self.braces(depth).map(Some),
            '[' => self
                .items('[', ']', depth)
                .map(|(items, _)| Some(items.into())),
            '(' => self.parentheses(depth).map(Some),
            '"' | '\'' => self.text().map(|text| Some(text.into())),
            _ => self.word(),
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What stands between brackets, and whether there was a comma.
    fn items(&mut self, open: char, close: char, depth: usize) -> Option<(Vec<Value>, bool)> {
        let (mut items, mut comma) = (Vec::new(), false);
        self.eat(open).then_some(())?;
        while !self.eat(close) {
            (items.is_empty() || comma).then_some(())?;
            items.push(self.value(depth + 1)??);
            comma = self.eat(',');
            if !comma {
                self.eat(close).then_some(())?;
                return Some((items.clone(), items.len() > 1));
            }
        }
        Some((items, comma))
    }

    /// A tuple, or a value in parentheses.
    fn parentheses(&mut self, depth: usize) -> Option<Value> {
        let (mut items, comma) = self.items('(', ')', depth)?;
        match comma || items.len() != 1 {
            true => Some(items.into()),
            false => items.pop(),
        }
    }

    /// A dictionary, or a set.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        let (mut table, mut items) = (Table::new(), Vec::new());
        self.eat('{').then_some(())?;
        while !self.eat('}') {
            let item = self.value(depth + 1)??;
            match self.eat(':') {
                true => self.entry(&mut table, item, depth)?,
                false => items.push(item),
            }
            if !self.eat(',') {
                self.eat('}').then_some(())?;
                break;
            }
        }
        match (items.is_empty(), table.is_empty()) {
            (true, _) => Some(table.into()),
            (false, true) => Some(items.into()),
            (false, false) => None,
        }
    }

    fn entry(&mut self, table: &mut Table, key: Value, depth: usize) -> Option<()> {
        let key = match key {
            Value::String(key) => key,
            Value::Integer(key) => key.to_string(),
            _ => return None,
        };
        match self.value(depth + 1)? {
            Some(value) => drop(table.insert(key, value)),
            // The one option whose None is not its default.
            None if key == "max_retries" => drop(table.insert(key, f64::INFINITY.into())),
            None if depth == 0 => {}
            None => return None,
        }
        Some(())
    }

    fn text(&mut self) -> Option<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next()?;
        let mut text = String::new();
        loop {
            match chars.next()? {
                '\\' => text.push(escaped(&mut chars)?),
                c if c == quote => break,
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }

    fn word(&mut self) -> Option<Option<Value>> {
        let end = self.rest.find([',', ':', ']', '}', ')', ' ', '\n', '\t']);
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(Some(match word {
            "None" | "null" => return Some(None),
            "True" | "true" => true.into(),
            "False" | "false" => false.into(),
            "Infinity" | "inf" => f64::INFINITY.into(),
            _ => number(word)?,
        }))
    }
}

fn number(word: &str) -> Option<Value> {
    word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        .then_some(())?;
    let word = word.replace('_', "");
    match word.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        // Not a whole number that is too large for one.
        Err(_) if word.contains(['.', 'e', 'E']) => word.parse::<f64>().ok().map(Value::from),
        Err(_) => None,
    }
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'x' => char::from_u32(hex(chars, 2)?)?,
        'u' => match hex(chars, 4)? {
            // The first half of what UTF-16 writes with two.
            high @ 0xd800..0xdc00 => {
                (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
                let low = hex(chars, 4)?.checked_sub(0xdc00)?;
                char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?
            }
            code => char::from_u32(code)?,
        },
        c @ ('\\' | '\'' | '"' | '/') => c,
        _ => return None,
    })
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    let text = chars.as_str().get(..digits)?;
    *chars = chars.as_str().get(digits..)?.chars();
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Option<String> {
        parse(text).map(|value| value.to_string())
    }

    #[test]
    fn json_and_python_are_read() {
        let read =
            |text, expected: &str| assert_eq!(toml(text).as_deref(), Some(expected), "{text}");
        read(
            r#"{"a.*": {"queue": "a"}}"#,
            r#"{ "a.*" = { queue = "a" } }"#,
        );
        read(
            "{'a': None, 'b': (1, -2.5,), 'c': True,}",
            "{ b = [1, -2.5], c = true }",
        );
        read("{'json', 'yaml'}", r#"["json", "yaml"]"#);
        read("('json',)", r#"["json"]"#);
        read("('json')", r#""json""#);
        read("{}", "{}");
        read("[]", "[]");
        read(r#"["\u00e9\ud83d\ude00\x41"]"#, r#"["é😀A"]"#);
        read("{'max_retries': None}", "{ max_retries = inf }");
    }

    #[test]
    fn what_is_none_of_them_is_left() {
        let texts = [
            "",
            "30 * 60",
            "[1",
            "{'a'",
            "[1 2]",
            "[None]",
            "{'a': {'b': None}}",
            "1, 2",
            "name",
            "'a",
            "99999999999999999999",
            "[,]",
            "{:}",
            "\"\\ud800\"",
            "(",
            "1__",
            "--",
        ];
        for text in texts {
            assert_eq!(
                toml(text),
                (text == "1__").then(|| "1".to_owned()),
                "{text}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(toml(&deep), None);
    }
}
