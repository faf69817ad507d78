//! Nodenames that match a pattern (`kombu/matcher.py`).

use regex::Regex;

/// Whether the name matches. A pattern or a matcher that means nothing
/// matches nothing.
pub(super) fn matches(name: &str, pattern: &str, matcher: &str) -> bool {
    let pattern = match matcher {
        "glob" => format!("(?s)^(?:{})$", from_glob(pattern)),
        "pcre" => format!("^(?:{pattern})"),
        _ => {
            tracing::error!("No matcher installed for {matcher}");
            return false;
        }
    };
    match Regex::new(&pattern) {
        Ok(pattern) => pattern.is_match(name),
        Err(error) => {
            tracing::error!(%error, "cannot match nodenames");
            false
        }
    }
}

/// A regular expression for an `fnmatch` pattern.
fn from_glob(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => match rest.as_str().split_once(']') {
                Some((set, after)) if !set.is_empty() => {
                    out.push_str(&set_of(set));
                    rest = after.chars();
                }
                _ => out.push_str(r"\["),
            },
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

fn set_of(set: &str) -> String {
    let (not, members) = match set.strip_prefix('!') {
        Some(members) => ("^", members),
        None => ("", set),
    };
    let escaped = members
        .replace('\\', r"\\")
        .replace('^', r"\^")
        .replace('[', r"\[");
    format!("[{not}{escaped}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `kombu.matcher.match` answers.
    #[test]
    fn globs_match_whole_names_and_expressions_their_beginning() {
        assert!(matches("a@host1", "a@host?", "glob"));
        assert!(matches("a@host1", "*@host[0-3]", "glob"));
        assert!(!matches("a@host1", "*@host[!0-3]", "glob"));
        assert!(!matches("a@host1", "a@host", "glob"));
        assert!(matches("a@host1", "a@(host|node)", "pcre"));
        assert!(!matches("a@host1", "host", "pcre"));
        assert!(!matches("a@host1", "(", "pcre"));
        assert!(!matches("a@host1", "*", "nosuch"));
    }
}
