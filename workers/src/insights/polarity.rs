//! What a classifier's labels mean.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tch::Tensor;

/// Which of a classifier's labels speak for a positive text and which against.
#[derive(Debug)]
pub struct Polarity {
    /// 1 for a positive label, -1 for a negative, 0 for a neutral one.
    weights: Vec<f32>,
}

impl Polarity {
    /// Reads `id2label` of a `config.json`. transformers leaves it out when it
    /// is its default, two labels without names; it is then filled in, as the
    /// number of labels is the size of the network's last layer.
    pub fn of(config: &mut Value) -> Result<Self, String> {
        if config["id2label"].is_null() {
            config["id2label"] = json!({"0": "LABEL_0", "1": "LABEL_1"});
        }
        let labels: BTreeMap<usize, String> = serde_json::from_value(config["id2label"].clone())
            .map_err(|fault| format!("config.json: id2label: {fault}"))?;
        let names: Vec<_> = labels.into_values().collect();
        Self::from_names(&names).ok_or_else(|| {
            format!("it is unclear which of its labels {names:?} is positive and which negative")
        })
    }

    fn from_names(names: &[String]) -> Option<Self> {
        let nameless = names == ["LABEL_0", "LABEL_1"];
        let weigh = |name: &String| match name.to_lowercase().as_str() {
            "positive" | "pos" => Some(1.0),
            "negative" | "neg" => Some(-1.0),
            "neutral" | "neu" => Some(0.0),
            "label_1" if nameless => Some(1.0),
            "label_0" if nameless => Some(-1.0),
            _ => None,
        };
        let weights = names.iter().map(weigh).collect::<Option<Vec<f32>>>()?;
        let once = |sign: f32| weights.iter().filter(|weight| **weight == sign).count() == 1;
        (once(1.0) && once(-1.0)).then_some(Self { weights })
    }

    /// How positive each row of label probabilities is, from 0 to 1. For two
    /// labels this is the probability of the positive one.
    pub fn positivity(&self, probabilities: &Tensor) -> Tensor {
        let balance = probabilities.matmul(&Tensor::from_slice(&self.weights));
        (balance + 1.0) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(labels: Value) -> Result<Vec<f32>, String> {
        Polarity::of(&mut json!({"id2label": labels})).map(|polarity| polarity.weights)
    }

    #[test]
    fn common_names_are_understood() {
        assert_eq!(
            weights(json!({"0": "NEGATIVE", "1": "POSITIVE"})),
            Ok(vec![-1.0, 1.0])
        );
        assert_eq!(
            weights(json!({"1": "neg", "0": "pos"})),
            Ok(vec![1.0, -1.0])
        );
        assert_eq!(weights(Value::Null), Ok(vec![-1.0, 1.0]));
        let three = json!({"0": "Negative", "1": "Neutral", "2": "Positive"});
        assert_eq!(weights(three), Ok(vec![-1.0, 0.0, 1.0]));
    }

    #[test]
    fn unclear_labels_are_refused_in_plain_words() {
        for labels in [
            json!({"0": "sports", "1": "politics"}),
            json!({"0": "POSITIVE"}),
            json!({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}),
        ] {
            let fault = weights(labels).expect_err("it is unclear");
            assert!(fault.contains("unclear which of its labels"), "{fault}");
        }
    }
}
