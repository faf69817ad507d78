//! A variable's text, as people write it in `.env` files that Python programs
//! read, too.

use toml::Value;
use toml::de::DeValue;

use super::literal;

/// What a variable says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Nothing: it is as if it were not there.
    Unset,
    /// Python's None, or JSON's.
    None,
    /// One of these, as TOML, the likeliest first.
    Value(Vec<String>),
}

/// What `text` may mean: TOML, JSON, a Python literal, a word for true or
/// false, a plain text, a list with commas. Quotes around it may be the
/// shell's, or docker's, which leaves them there.
pub(super) fn read(text: &str) -> Text {
    let text = text.trim();
    if text.is_empty() || text == "''" || text == "\"\"" {
        return Text::Unset;
    }
    let inner = ['"', '\''].into_iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    });
    if ["None", "null"].contains(&inner.unwrap_or(text)) {
        return Text::None;
    }
    let mut meanings = meanings(inner.unwrap_or(text));
    if inner.is_some() {
        meanings.extend(quoted(text));
    }
    Text::Value(meanings)
}

fn meanings(text: &str) -> Vec<String> {
    let typed = DeValue::parse(text).is_ok().then(|| text.to_owned());
    let literal = || literal::parse(text).map(|value| value.to_string());
    let typed = typed.or_else(literal);
    let list = text.split(',').map(str::trim).map(Value::from);
    let list = Value::Array(list.collect()).to_string();
    let all = [typed, flag(text), quoted(text), Some(list)];
    all.into_iter().flatten().collect()
}

/// The words of Celery's `strtobool`.
fn flag(text: &str) -> Option<String> {
    let flag = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "on" => true,
        "false" | "no" | "0" | "off" => false,
        _ => return None,
    };
    Some(flag.to_string())
}

fn quoted(text: &str) -> Option<String> {
    Some(Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_mean_many_things() {
        let meanings = |text| match read(text) {
            Text::Value(meanings) => meanings,
            _ => Vec::new(),
        };
        assert_eq!(meanings("8"), ["8", "\"8\"", "[\"8\"]"]);
        assert_eq!(meanings("\"8\"")[0], "8");
        assert_eq!(meanings("TRUE")[0], "true");
        assert_eq!(meanings("a, b")[1], "[\"a\", \"b\"]");
        assert_eq!(meanings("30 * 60")[0], "\"30 * 60\"");
    }

    #[test]
    fn nothing_is_unset() {
        assert_eq!(read(" "), Text::Unset);
        assert_eq!(read("\"\""), Text::Unset);
        assert_eq!(read("None"), Text::None);
    }
}
