//! A model with a head that tells negative from positive.

use rust_bert::{
    RustBertError,
    bert::{BertConfig, BertForSequenceClassification},
    distilbert::{DistilBertConfig, DistilBertModelClassifier},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tch::{Device, Kind, Tensor, nn::VarStore};

use super::{batch::Batch, error::EngineError, polarity::Polarity, source::ModelSource};

/// A BERT or DistilBERT sequence classifier that tells negative from positive.
///
/// rust-bert's own pipelines pass no attention mask, so their answers depend on
/// the other texts of a batch; hence this one.
pub struct Classifier {
    network: Network,
    polarity: Polarity,
}

enum Network {
    Bert(BertForSequenceClassification),
    DistilBert(DistilBertModelClassifier),
}

impl Classifier {
    /// Loads the classifier; gives it with the longest sequence it takes.
    pub fn load(source: &ModelSource) -> Result<(Self, usize), EngineError> {
        let mut config: Value = source.json("config.json")?;
        let polarity =
            Polarity::of(&mut config).map_err(|fault| EngineError::load(source, fault))?;
        let mut variables = VarStore::new(Device::Cpu);
        let (network, max_len) = Network::new(config, &variables)
            .map_err(|fault| EngineError::load(source, format!("config.json: {fault}")))?;
        source
            .weights()?
            .fill(&mut variables)
            .map_err(|fault| EngineError::load(source, fault))?;
        let max_len = usize::try_from(max_len).unwrap_or(512);
        Ok((Self { network, polarity }, max_len))
    }

    /// How positive each text is, from 0 to 1.
    pub fn positivity(&self, batch: &Batch) -> Result<Tensor, RustBertError> {
        let probabilities = self.network.logits(batch)?.softmax(-1, Kind::Float);
        Ok(self.polarity.positivity(&probabilities))
    }
}

impl Network {
    fn new(config: Value, variables: &VarStore) -> Result<(Self, i64), String> {
        let (root, told) = (variables.root(), |fault: RustBertError| fault.to_string());
        match config["model_type"].as_str() {
            Some("bert") => {
                let config: BertConfig = parse(config)?;
                let bert = BertForSequenceClassification::new(root, &config).map_err(told)?;
                Ok((Self::Bert(bert), config.max_position_embeddings))
            }
            Some("distilbert") => {
                let config: DistilBertConfig = parse(config)?;
                let bert = DistilBertModelClassifier::new(root, &config).map_err(told)?;
                Ok((Self::DistilBert(bert), config.max_position_embeddings))
            }
            other => Err(format!(
                "model_type is {}, and only bert and distilbert classifiers are understood",
                other.unwrap_or("missing")
            )),
        }
    }

    fn logits(&self, batch: &Batch) -> Result<Tensor, RustBertError> {
        let (ids, mask) = (Some(&batch.ids), Some(&batch.mask));
        match self {
            Self::Bert(bert) => Ok(bert.forward_t(ids, mask, None, None, None, false).logits),
            Self::DistilBert(bert) => bert
                .forward_t(ids, mask, None, false)
                .map(|output| output.logits),
        }
    }
}

/// Reads a configuration; what it leaves out, as newer versions of
/// transformers do, has rust-bert's default.
fn parse<T: Default + Serialize + DeserializeOwned>(config: Value) -> Result<T, String> {
    let mut whole = serde_json::to_value(T::default()).map_err(|fault| fault.to_string())?;
    if let (Some(whole), Value::Object(given)) = (whole.as_object_mut(), config) {
        whole.extend(given);
    }
    serde_json::from_value(whole).map_err(|fault| fault.to_string())
}
