//! Who speaks how much.

use unicode_segmentation::UnicodeSegmentation;

use super::round::hundredths;

/// The agent's share of the words of a call, from 0 to 1 in hundredths; 0 when
/// nobody says a word. Words are Unicode's, so scripts without spaces count
/// too and punctuation and emoji do not.
pub fn talk_ratio(customer: &str, agent: &str) -> f64 {
    let [customer, agent] = [customer, agent].map(|text| text.unicode_words().count());
    match customer + agent {
        0 => 0.0,
        all => hundredths(agent as f64 / all as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_not_characters() {
        assert_eq!(
            talk_ratio("It broke, again!", "Sorry... we'll fix it :-)"),
            0.57
        );
        assert_eq!(talk_ratio("一 二 三", "ok"), 0.25);
    }

    #[test]
    fn silence_has_a_ratio() {
        assert_eq!(talk_ratio("", " \n"), 0.0);
        assert_eq!(talk_ratio("", "Hello?"), 1.0);
        assert_eq!(talk_ratio("😡😡", "…"), 0.0);
    }
}
