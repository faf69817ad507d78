//! Guessing a call's language.

use whatlang::{Lang, Script};

/// A guess needs no more text than this, in characters of each side.
const ENOUGH: usize = 500;
/// What is assumed where nothing says otherwise.
const FALLBACK: &str = "en";

/// The two-letter code of the language of both sides. Other scripts speak for
/// themselves; Latin text counts as English unless there is enough of it to
/// be sure.
pub(super) fn guess(customer: &str, agent: &str) -> &'static str {
    let start = |text: &str| text.chars().take(ENOUGH).collect::<String>();
    let text = format!("{}\n{}", start(customer), start(agent));
    match whatlang::detect(&text) {
        Some(found) if found.script() != Script::Latin || found.is_reliable() => {
            two_letters(found.lang())
        }
        _ => FALLBACK,
    }
}

fn two_letters(lang: Lang) -> &'static str {
    match lang {
        // ISO 639-1 knows only the macrolanguage.
        Lang::Cmn => "zh",
        other => isolang::Language::from_639_3(other.code())
            .and_then(|language| language.to_639_1())
            .unwrap_or(FALLBACK),
    }
}
