//! Texts and names as Python reads them.

use std::borrow::Cow;

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Whether it can be a name.
pub fn is_identifier(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !KEYWORDS.contains(&name)
}

/// A name as like it as can be.
pub fn identifier(name: &str) -> Cow<'_, str> {
    if is_identifier(name) {
        return name.into();
    }
    let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
    let plain: String = name.chars().map(plain).collect();
    if KEYWORDS.contains(&plain.as_str()) {
        return format!("{plain}_").into();
    }
    if is_identifier(&plain) {
        return plain.into();
    }
    format!("_{plain}").into()
}

/// A docstring, whose lines are indented.
pub fn docstring(text: &str, indent: &str) -> String {
    let text = text.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
    let lines: Vec<&str> = text.lines().collect();
    let close = match lines.as_slice() {
        [one] if !one.ends_with('"') => "\"\"\"\n".to_owned(),
        _ => format!("\n{indent}\"\"\"\n"),
    };
    let indented = |line: &&str| match line.is_empty() {
        true => String::new(),
        false => format!("{indent}{line}"),
    };
    let lines: Vec<String> = lines.iter().map(indented).collect();
    let lines = lines.join("\n");
    format!("{indent}\"\"\"{}{close}", lines.trim_start())
}
