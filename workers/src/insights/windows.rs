use unicode_segmentation::UnicodeSegmentation;

/// Cuts a text into consecutive windows of at most `room` tokens, as `count`
/// counts them, at the ends of sentences; a sentence longer than that is cut
/// between words. A text that fits is one window. A single word that does not
/// fit is left to be truncated.
pub fn windows(text: &str, room: usize, count: impl Fn(&str) -> usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    for sentence in text.split_sentence_bounds() {
        match count(sentence) {
            fits if fits <= room => pieces.push((sentence, fits)),
            _ => pieces.extend(
                sentence
                    .split_word_bounds()
                    .map(|word| (word, count(word).min(room))),
            ),
        }
    }
    pack(pieces, room)
        .into_iter()
        .map(|(start, end)| &text[start..end])
        .collect()
}

/// Joins neighbouring pieces as long as they fit; gives the byte ranges.
fn pack(pieces: Vec<(&str, usize)>, room: usize) -> Vec<(usize, usize)> {
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

    fn cut(text: &str, room: usize) -> Vec<&str> {
        windows(text, room, |part| part.split_whitespace().count())
    }

    #[test]
    fn a_text_that_fits_is_one_window() {
        assert_eq!(cut("All good. Thanks!", 3), ["All good. Thanks!"]);
        assert_eq!(cut("", 3), [""]);
    }

    #[test]
    fn sentences_stay_whole_where_they_fit() {
        assert_eq!(
            cut("One two. Three four. Five.\nSix seven eight.", 4),
            ["One two. Three four. ", "Five.\nSix seven eight."]
        );
    }

    #[test]
    fn a_long_sentence_is_cut_between_words() {
        let text = "a b c d e f g. h";
        let parts = cut(text, 3);
        assert_eq!(parts.concat(), text);
        assert!(
            parts
                .iter()
                .all(|part| part.split_whitespace().count() <= 3)
        );
    }
}
