//! Nodenames that match a pattern (`kombu/matcher.py`).

// Python's expressions look around and refer back.
use fancy_regex::Regex;

use crate::glob::Glob;

/// Whether the name matches. A pattern or a matcher that means nothing
/// matches nothing.
pub(super) fn matches(name: &str, pattern: &str, matcher: &str) -> bool {
    match matcher {
        "glob" => Glob::new(pattern).matches(name),
        "pcre" => begins_with(name, pattern),
        _ => {
            tracing::error!("cannot match nodenames by {matcher:?}, only by \"glob\" or \"pcre\"");
            false
        }
    }
}

/// Python's `re.match`: the expression need not reach the name's end.
fn begins_with(name: &str, expression: &str) -> bool {
    let found = Regex::new(&format!("^(?:{expression})")).and_then(|regex| regex.is_match(name));
    found.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot match nodenames");
        false
    })
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

    #[test]
    fn expressions_are_pythons() {
        for (pattern, expected) in [
            ("(?!b).*@h", true),
            (r"(?=.*h)\w", true),
            (r"(\w)@(?!\1)h\Z", true),
            (r"(?P<n>\w)@(?P=n)", false),
            ("a(?#comment)@h", true),
            // Its time is bounded.
            ("(a|a@|@h|h)*(?=x)x", false),
        ] {
            assert_eq!(matches("a@h", pattern, "pcre"), expected, "{pattern}");
        }
    }
}
