//! Rust's types as Python's type hints name them.

use std::fmt;

/// A type hint: `list[int]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint(String);

impl Hint {
    /// Of a type, by the name that [`std::any::type_name`] gives it; `Any` if
    /// nothing is known of it.
    pub fn of(rust: &str) -> Self {
        Self(hint(rust))
    }

    /// In Python's words.
    #[cfg(feature = "rusty")]
    pub fn python(hint: String) -> Self {
        Self(hint)
    }

    /// Nothing is known.
    #[cfg(feature = "rusty")]
    pub fn any() -> Self {
        Self("Any".to_owned())
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The types in a tuple.
pub(crate) fn members(tuple: &str) -> Vec<&str> {
    let inner = tuple
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    inner.map(split).unwrap_or_default()
}

fn hint(rust: &str) -> String {
    let rust = rust.trim().trim_start_matches('&');
    if rust == "()" {
        return "None".to_owned();
    }
    if rust.starts_with('(') {
        return list(&same(&members(rust)));
    }
    if let Some(inner) = rust.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
        return list(&hint(inner.split(';').next().unwrap_or_default()));
    }
    let (path, generics) = match rust.split_once('<') {
        Some((path, rest)) => (path, split(rest.strip_suffix('>').unwrap_or(rest))),
        None => (rust, Vec::new()),
    };
    let name = path.rsplit("::").next().unwrap_or_default();
    let inner = |place: usize| generics.get(place).map_or("Any".to_owned(), |of| hint(of));
    match name {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
        | "usize" => "int".to_owned(),
        "f32" | "f64" => "float".to_owned(),
        "bool" => "bool".to_owned(),
        "String" | "str" | "char" | "PathBuf" => "str".to_owned(),
        "Vec" | "VecDeque" | "BTreeSet" | "HashSet" => list(&inner(0)),
        "Box" | "Arc" => inner(0),
        "Option" => optional(inner(0)),
        "Map" if path.starts_with("serde_json") => "dict[str, Any]".to_owned(),
        // JSON has no other keys.
        "HashMap" | "BTreeMap" | "IndexMap" => format!("dict[str, {}]", inner(1)),
        _ => "Any".to_owned(),
    }
}

fn list(of: &str) -> String {
    format!("list[{of}]")
}

fn optional(of: String) -> String {
    match of.as_str() {
        "Any" | "None" => of,
        _ if of.ends_with("| None") => of,
        _ => format!("{of} | None"),
    }
}

/// What all of them are.
fn same(types: &[&str]) -> String {
    let mut hints: Vec<String> = types.iter().map(|of| hint(of)).collect();
    hints.dedup();
    match hints.as_slice() {
        [one] => one.clone(),
        _ => "Any".to_owned(),
    }
}

/// Splits at commas outside brackets.
fn split(list: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = list.split(move |c: char| {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::any::type_name;
    use std::collections::HashMap;

    fn of<T: ?Sized>() -> String {
        Hint::of(type_name::<T>()).to_string()
    }

    #[test]
    fn names_what_python_knows() {
        assert_eq!(of::<u32>(), "int");
        assert_eq!(of::<&'static str>(), "str");
        assert_eq!(of::<Vec<Option<String>>>(), "list[str | None]");
        assert_eq!(of::<Option<Option<f64>>>(), "float | None");
        assert_eq!(of::<HashMap<u8, Vec<bool>>>(), "dict[str, list[bool]]");
        assert_eq!(
            of::<serde_json::Map<String, serde_json::Value>>(),
            "dict[str, Any]"
        );
        assert_eq!(of::<Option<serde_json::Value>>(), "Any");
        assert_eq!(of::<(i64, u8)>(), "list[int]");
        assert_eq!(of::<(i64, String)>(), "list[Any]");
        assert_eq!(of::<[f32; 3]>(), "list[float]");
        assert_eq!(of::<()>(), "None");
        assert_eq!(of::<crate::task::TaskOptions>(), "Any");
        let names = type_name::<(i64, HashMap<String, i64>, (u8, u8))>();
        assert_eq!(members(names).len(), 3);
    }
}
