//! Texts as the numbers that models read.

use rust_tokenizers::tokenizer::{BertTokenizer, Tokenizer as _, TruncationStrategy};
use serde::Deserialize;

use super::{error::EngineError, source::ModelSource, windows::windows};

/// WordPiece tokens as BERT models read them, `[CLS] … [SEP]`.
pub struct Tokenizer {
    bert: BertTokenizer,
    /// The longest sequence given to the model, `[CLS]` and `[SEP]` included.
    max_len: usize,
}

/// How many sequences of one text are judged; enough for some 4,000 words.
const MOST_WINDOWS: usize = 256;

/// A text of up to so many tokens is judged as one. Longer ones are better
/// judged sentence by sentence (docs/sentiment.md): the ratings that models of
/// sentiment are trained on are of sentences.
const ONE_PIECE: usize = 48;

/// The part of `tokenizer_config.json` that matters here.
#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default = "yes")]
    do_lower_case: bool,
    strip_accents: Option<bool>,
}

fn yes() -> bool {
    true
}

impl Tokenizer {
    /// Reads the vocabulary of a model that takes at most `max_len` tokens.
    pub fn load(source: &ModelSource, max_len: usize) -> Result<Self, EngineError> {
        let config: TokenizerConfig = source.json("tokenizer_config.json")?;
        let strip_accents = config.strip_accents.unwrap_or(config.do_lower_case);
        let vocabulary = source.file("vocab.txt")?;
        let bert = BertTokenizer::from_file(vocabulary, config.do_lower_case, strip_accents)
            .map_err(|fault| EngineError::load(source, format!("vocab.txt: {fault}")))?;
        Ok(Self { bert, max_len })
    }

    /// The tokens of a text, cut off at the model's length.
    pub fn encode(&self, text: &str) -> Vec<i64> {
        let cut = TruncationStrategy::LongestFirst;
        self.bert
            .encode(text, None, self.max_len, &cut, 0)
            .token_ids
    }

    /// The tokens of a text of any length, in as many sequences as it has
    /// sentences, or one if it is short. None if the text is blank. Of an
    /// enormous text the last [`MOST_WINDOWS`]: the end of a call tells how it
    /// came out.
    pub fn encode_windows(&self, text: &str) -> Vec<Vec<i64>> {
        let room = self.max_len.saturating_sub(2);
        let windows = windows(text, ONE_PIECE, room, |part| self.bert.tokenize(part).len());
        let first = windows.len().saturating_sub(MOST_WINDOWS);
        windows[first..]
            .iter()
            .map(|window| self.encode(window))
            .filter(|ids| ids.len() > 2)
            .collect()
    }
}
