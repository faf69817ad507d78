//! What serde says of a value, in words for those who wrote it.

/// The message without the value, which may be secret, and with the kinds of
/// values under the names that people have for them.
pub(super) fn plain(message: &str) -> String {
    let message = message.trim();
    for head in ["invalid type: ", "invalid value: "] {
        let parts = message.split_once(head).and_then(|(before, rest)| {
            let (found, expected) = rest.rsplit_once(", expected ")?;
            Some((before, value(found), kind(expected)))
        });
        if let Some((before, found, expected)) = parts {
            return match expected.starts_with(found) {
                // It is one, and not within the bounds.
                true => format!("{before}expected {expected}"),
                false => format!("{before}expected {expected}, found {found}"),
            };
        }
    }
    unlisted(message)
}

/// What a name was meant to be, among those that there are.
pub(super) fn nearest<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    let scored = names.map(|known| (known, strsim::jaro_winkler(known, name)));
    let best = scored.max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.filter(|&(_, score)| score > least)
        .map(|(known, _)| known)
}

/// Near enough to be named.
pub(super) const NEAR: f64 = 0.8;

pub(super) fn unknown(name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("unknown field `{name}`; did you mean `{near}`?"),
        None => format!("unknown field `{name}`"),
    }
}

/// serde lists every field there is; a reader wants the one that was meant.
fn unlisted(message: &str) -> String {
    let Some((head, known)) = message.split_once(", expected one of ") else {
        return message.to_owned();
    };
    if !head.contains("unknown field") {
        return message.to_owned();
    }
    let wrong = head.split('`').nth(1).unwrap_or_default();
    let names = known.split('`').skip(1).step_by(2);
    match nearest(wrong, names, NEAR) {
        Some(word) => format!("{head}; did you mean `{word}`?"),
        None => head.to_owned(),
    }
}

fn kind(expected: &str) -> &str {
    match expected {
        "f64" | "f32" => "a number",
        "u8" => "a whole number, 0 to 255",
        "u16" => "a whole number, 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a string" => "a text",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn value(found: &str) -> &str {
    match found.split_whitespace().next().unwrap_or_default() {
        "string" => "a text",
        "integer" => "a whole number",
        "floating" => "a number",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "a table",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_shown() {
        assert_eq!(
            plain("invalid type: string \"s3cret, expected\", expected f64"),
            "expected a number, found a text"
        );
        assert_eq!(
            plain("in `task_queues`: invalid value: integer `-1`, expected usize"),
            "in `task_queues`: expected a whole number, 0 or more"
        );
    }

    #[test]
    fn the_name_that_was_meant_is_shown_alone() {
        assert_eq!(
            plain("unknown field `prot`, expected one of `bind`, `port`"),
            "unknown field `prot`; did you mean `port`?"
        );
        let variants = "unknown variant `a`, expected one of `direct`, `fanout`";
        assert_eq!(plain(variants), variants);
    }
}
