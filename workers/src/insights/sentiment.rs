//! How positive a text is.

use rust_bert::RustBertError;
use tch::Tensor;

use super::{batch::Batch, classifier::Classifier, encoder::Encoder, round::hundredths};

/// What judges how positive a text is.
pub enum Sentiment {
    /// The encoder with the shipped low-rank update, and a linear head on the
    /// mean of its last hidden state.
    Lora {
        /// The updated encoder.
        encoder: Encoder,
        /// The head's weight [1, hidden] and bias [1].
        head: (Tensor, Tensor),
    },
    /// A sequence classifier named by the settings.
    Classifier(Classifier),
}

impl Sentiment {
    /// How positive each text is, from 0 to 1, in one column.
    pub fn positivity(&self, batch: &Batch) -> Result<Tensor, RustBertError> {
        match self {
            Self::Classifier(classifier) => Ok(classifier.positivity(batch)?.unsqueeze(-1)),
            Self::Lora {
                encoder,
                head: (weight, bias),
            } => {
                let mean = batch.mean(&encoder.hidden(batch)?);
                Ok(mean.linear(weight, Some(bias)).sigmoid())
            }
        }
    }
}

/// How positive a text is, from 0 to 1, given how positive each of its windows
/// is and how many tokens it has: their mean by length. None of no windows.
pub fn mean(windows: &[(usize, f32)]) -> Option<f64> {
    let weigh = |&(tokens, positivity): &(usize, f32)| tokens as f64 * f64::from(positivity);
    let tokens: usize = windows.iter().map(|(tokens, _)| tokens).sum();
    (tokens > 0).then(|| windows.iter().map(weigh).sum::<f64>() / tokens as f64)
}

/// The score that stands for that: from -1 to 1 in hundredths, and 0 for a
/// text without words.
pub fn score(positivity: Option<f64>) -> f64 {
    positivity.map_or(0.0, |positivity| hundredths(2.0 * positivity - 1.0))
}

#[cfg(test)]
mod tests {
    use super::{mean, score};

    #[test]
    fn windows_count_by_their_length() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[(7, 1.0)]), Some(1.0));
        assert_eq!(mean(&[(30, 1.0), (10, 0.0)]), Some(0.75));
    }

    #[test]
    fn a_score_goes_from_minus_one_to_one() {
        assert_eq!(score(None), 0.0);
        assert_eq!([0.0, 0.75, 1.0].map(|p| score(Some(p))), [-1.0, 0.5, 1.0]);
        assert!(score(Some(0.4999)).is_sign_positive());
    }
}
