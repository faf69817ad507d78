//! Globs: what Python's `fnmatch` calls patterns (`*`, `?`, `[a-z]`, `[!a-z]`).

use std::str::Chars;

/// A compiled glob. It matches whole texts, and its case counts, as it does in
/// Python on Linux.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    /// `*`: any number of characters.
    Run,
    /// `?`: any one character.
    One,
    /// This character.
    Plain(char),
    /// `[a-z]`, `[!a-z]`: one character that lies in one of these ranges, or in
    /// none of them.
    Set {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// Reads a pattern. Every text is one: a `[` that nothing closes means
    /// itself.
    pub(crate) fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            let after = &rest[first.len_utf8()..];
            let (part, left) = match first {
                '*' => (Part::Run, after.trim_start_matches('*')),
                '?' => (Part::One, after),
                '[' => set(after).unwrap_or((Part::Plain('['), after)),
                plain => (Part::Plain(plain), after),
            };
            parts.push(part);
            rest = left;
        }
        Self(parts)
    }

    /// Whether all of `text` matches. It takes no longer than the product of
    /// both lengths: where the text does not fit, the last `*` takes one
    /// character more, and no earlier one, since the last can take as much.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.as_slice();
        let mut text = text.chars();
        let mut last_run: Option<(&[Part], Chars)> = None;
        loop {
            match parts.split_first() {
                Some((Part::Run, after)) => {
                    last_run = Some((after, text.clone()));
                    parts = after;
                    continue;
                }
                Some((part, after)) => {
                    let mut later = text.clone();
                    if later.next().is_some_and(|next| part.takes(next)) {
                        (parts, text) = (after, later);
                        continue;
                    }
                }
                None if text.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, begin)) = &mut last_run else {
                return false;
            };
            if begin.next().is_none() {
                return false;
            }
            (parts, text) = (*after, begin.clone());
        }
    }
}

impl Part {
    /// Whether it takes this one character.
    fn takes(&self, next: char) -> bool {
        match self {
            Self::Run | Self::One => true,
            Self::Plain(plain) => *plain == next,
            Self::Set { not, ranges } => {
                let within = |(low, high): &(char, char)| (*low..=*high).contains(&next);
                ranges.iter().any(within) != *not
            }
        }
    }
}

/// The set that begins after its `[`, and what follows its `]`. A `]` that is
/// the first member does not end it.
fn set(text: &str) -> Option<(Part, &str)> {
    let members = text.strip_prefix('!').unwrap_or(text);
    let later = members.strip_prefix(']').unwrap_or(members);
    let end = members.len() - later.len() + later.find(']')?;
    let set = Part::Set {
        not: members.len() < text.len(),
        ranges: ranges(&members[..end]),
    };
    Some((set, &members[end + 1..]))
}

/// `a-z` is a range, which is empty if it runs backwards; a `-` at either end
/// means itself.
fn ranges(members: &str) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut rest = members.chars();
    while let Some(low) = rest.next() {
        let mut ahead = rest.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) => {
                rest = ahead;
                high
            }
            _ => low,
        };
        ranges.push((low, high));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// What Python's `fnmatch.fnmatchcase` answers.
    #[test]
    fn globs_match_what_pythons_match() {
        for (pattern, matching, others) in [
            ("", &[""][..], &["a"][..]),
            ("feed.now", &["feed.now"], &["feed", "feed_now", "Feed.now"]),
            (
                "feed.*",
                &["feed.", "feed.a.b", "feed.\n"],
                &["feed", "a.feed.b"],
            ),
            ("*", &["", "a", "ä€😀"], &[]),
            ("**a", &["a", "ba", "aa"], &["", "ab"]),
            ("*a*b", &["ab", "xaxb", "abab", "aabb"], &["ba", "aba", "b"]),
            ("a?c", &["abc", "aéc", "a\nc"], &["ac", "abbc"]),
            ("?", &["😀"], &["", "ab"]),
            (
                "feed[12].*",
                &["feed1.x", "feed2."],
                &["feed3.x", "feed.x", "feed12.x"],
            ),
            ("[a-c]", &["a", "b", "c"], &["d", "-", ""]),
            ("[!a-c]", &["d", "-", "!"], &["a", ""]),
            ("[^a]", &["^", "a"], &["b"]),
            ("[a!]", &["a", "!"], &["b"]),
            ("[]a]", &["]", "a"], &["b", "[]a]"]),
            ("[!]a]", &["b", "!"], &["]", "a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            ("[!-a]", &["b"], &["a", "-"]),
            ("[--0]", &["-", ".", "/", "0"], &["1", "a"]),
            ("[a-c-e]", &["b", "-", "e"], &["d"]),
            ("[c-a]", &[], &["a", "b", "c", "-", ""]),
            ("[!c-a]", &["a", "b", "-"], &["", "ab"]),
            ("[c-ax]", &["x"], &["a", "c", "-"]),
            ("[a&&b~|]", &["a", "&", "~", "|"], &["c"]),
            (r"[\d]", &["\\", "d"], &["1"]),
            (r"\*", &["\\", "\\a"], &["*"]),
            ("[[]", &["["], &["]", "[["]),
            ("[", &["["], &["", "a"]),
            ("[]", &["[]"], &["", "]"]),
            ("[!]", &["[!]"], &["a"]),
            ("a[b", &["a[b"], &["ab"]),
            ("a.(b|c)+$", &["a.(b|c)+$"], &["a.b"]),
        ] {
            let glob = Glob::new(pattern);
            for text in matching {
                assert!(glob.matches(text), "{pattern:?} {text:?}");
            }
            for text in others {
                assert!(!glob.matches(text), "not {pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_longer() {
        let glob = Glob::new(&"*a".repeat(200));
        let text = "a".repeat(2_000);
        let begun = Instant::now();
        assert!(glob.matches(&text));
        assert!(!glob.matches(&format!("{text}b")));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
