//! Finding the agent's signature at the end of what they wrote.

use std::sync::LazyLock;

use regex::Regex;

/// `^AB`, `- Marco` or a bare `Kirsty` after the last sentence, each perhaps
/// followed by a link, and with invisible characters anywhere around.
static SIGNATURE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        (?:
            \^ \s? (\p{Lu}\p{L}{0,19})                                         # ^AB
          | (?: (?:^|[.!?…。！？)\n]) [\s\p{Cf}]* [-–—~*/]+ \s* | \s [-–—~*/]+ ) # - Marco, -Marco
            (\p{Lu}\p{L}{1,19})
          | (?: [.!?…][\s\p{Cf}]+ | [。！？] | \n[\s\p{Cf}]* ) (\p{Lu}\p{Ll}{2,19}) # Kirsty
        )
        (?: \s+ https?://\S+ )* [\s\p{Cf}]* $",
    )
    .ok()
});

/// Words that end a message without naming anybody.
const NOT_NAMES: &[&str] = &[
    "bye", "cheers", "enjoy", "goodbye", "hello", "hugs", "no", "okay", "please", "regards",
    "sorry", "sure", "thanks", "welcome", "yes",
];

/// The id of the agent who signed the text, such as `kirsty` or `ab`.
pub(super) fn signed_by(text: &str) -> Option<String> {
    let found = SIGNATURE.as_ref()?.captures(text)?;
    let name = found.iter().skip(1).flatten().next()?;
    let id = name.as_str().to_lowercase();
    (!NOT_NAMES.contains(&id.as_str())).then_some(id)
}
