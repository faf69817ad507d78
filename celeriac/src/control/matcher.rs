//! Nodenames that match a pattern (`kombu/matcher.py`).

// Python's expressions look around and refer back.
use fancy_regex::Regex;

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
    let matched = Regex::new(&pattern).and_then(|pattern| pattern.is_match(name));
    matched.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot match nodenames");
        false
    })
}

/// A regular expression for an `fnmatch` pattern.
fn from_glob(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => match split_set(rest.as_str()) {
                Some((set, after)) => {
                    out.push_str(&set_of(set));
                    rest = after.chars();
                }
                None => out.push_str(r"\["),
            },
            other => out.push_str(&fancy_regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

/// What stands before the `]` that ends a set, and what after it. One that is
/// the set's first member does not end it.
fn split_set(rest: &str) -> Option<(&str, &str)> {
    let members = rest.strip_prefix('!').unwrap_or(rest);
    let later = members.strip_prefix(']').unwrap_or(members);
    let begun = rest.len() - later.len();
    let end = begun + later.find(']')?;
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

fn set_of(set: &str) -> String {
    let (not, members) = match set.strip_prefix('!') {
        Some(members) => ("^", members),
        None => ("", set),
    };
    let escape = |character| match character {
        '\\' | '^' | '[' | ']' | '&' | '~' => format!("\\{character}"),
        plain => plain.to_string(),
    };
    let escaped: String = members.chars().map(escape).collect();
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

    #[test]
    fn a_set_may_hold_its_own_end() {
        for (pattern, expected) in [
            ("[]a]@h", true),
            ("[!]b]@h", true),
            ("[!]a]@h", false),
            ("[^a]@h", true),
            ("[]@h", false),
            ("[b&&a]@h", true),
        ] {
            assert_eq!(matches("a@h", pattern, "glob"), expected, "{pattern}");
        }
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
