//! Halves of characters. Python's texts may have them, and its JSON says them as
//! `"\ud800"`; no text in Rust can hold one.

/// What stands where something is that no text can hold.
const REPLACEMENT: &str = "\\ufffd";

/// The same JSON with U+FFFD in their places, and in that of bytes that are no
/// UTF-8: for what is shown, and for finding out whose a message is.
pub(crate) fn without_lone_surrogates(raw: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(raw);
    let (mut out, mut rest) = (String::new(), &*text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let (length, stays) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, true),
            (Some(0xd800..0xe000), _) => (6, false),
            // Another escape: two characters, of which the second may be a backslash.
            _ => (1 + escape.chars().nth(1).map_or(0, char::len_utf8), true),
        };
        let (escape, after) = escape.split_at(length);
        out.push_str(before);
        out.push_str(if stays { escape } else { REPLACEMENT });
        rest = after;
    }
    out.push_str(rest);
    out.into_bytes()
}

/// The number of an escape at the beginning: 0xd800 of `\ud800`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_alone_are_replaced() {
        for (raw, expected) in [
            (r#"["a"]"#, r#"["a"]"#),
            (r#"["\ud800"]"#, r#"["\ufffd"]"#),
            (
                r#"["\ud800\ud83d\ude00\udfffx"]"#,
                r#"["\ufffd\ud83d\ude00\ufffdx"]"#,
            ),
            (r#"["\\ud800", "\n\\"]"#, r#"["\\ud800", "\n\\"]"#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\\", "\\"),
            ("\\é", "\\é"),
        ] {
            let without = without_lone_surrogates(raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(&without), expected);
        }
        assert_eq!(without_lone_surrogates(b"\xff"), "\u{fffd}".as_bytes());
    }
}
