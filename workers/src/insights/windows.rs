//! Texts cut into parts that a model can judge.

use unicode_segmentation::UnicodeSegmentation;

/// Cuts a text into the parts that are judged by themselves: its sentences, or
/// the whole text if it has at most `whole` tokens, as `count` counts them. A
/// sentence of more than `room` tokens is cut between words; a single word that
/// does not fit is left to be truncated.
pub fn windows(text: &str, whole: usize, room: usize, count: impl Fn(&str) -> usize) -> Vec<&str> {
    if count(text) <= whole {
        return vec![text];
    }
    let sentences = text.split_sentence_bounds();
    sentences
        .flat_map(|sentence| match count(sentence) <= room {
            true => vec![sentence],
            false => cut(sentence, room, &count),
        })
        .collect()
}

/// Cuts between words, into as few windows as it takes.
fn cut(sentence: &str, room: usize, count: impl Fn(&str) -> usize) -> Vec<&str> {
    let words = sentence.split_word_bounds();
    pack(words.map(|word| (word, count(word).min(room))), room)
        .into_iter()
        .map(|(start, end)| &sentence[start..end])
        .collect()
}

/// Joins neighbouring pieces as long as they fit; gives the byte ranges.
fn pack<'t>(pieces: impl Iterator<Item = (&'t str, usize)>, room: usize) -> Vec<(usize, usize)> {
    let mut packed = Vec::new();
    let (mut start, mut end, mut used) = (0, 0, 0);
    for (piece, tokens) in pieces {
        if used + tokens > room {
            packed.push((start, end));
            (start, used) = (end, 0);
        }
        end += piece.len();
        used += tokens;
    }
    packed.push((start, end));
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, whole: usize, room: usize) -> Vec<&str> {
        windows(text, whole, room, |part| part.split_whitespace().count())
    }

    #[test]
    fn a_short_text_is_one_window() {
        assert_eq!(parts("All good. Thanks!", 3, 3), ["All good. Thanks!"]);
        assert_eq!(parts("", 3, 3), [""]);
    }

    #[test]
    fn a_longer_one_is_its_sentences() {
        assert_eq!(
            parts("One two. Three four. Five.\nSix seven eight.", 3, 4),
            ["One two. ", "Three four. ", "Five.\n", "Six seven eight."]
        );
    }

    #[test]
    fn a_long_sentence_is_cut_between_words() {
        let text = "a b c d e f g. h";
        let parts = parts(text, 3, 3);
        assert_eq!(parts.concat(), text);
        assert!(
            parts
                .iter()
                .all(|part| part.split_whitespace().count() <= 3)
        );
    }
}
