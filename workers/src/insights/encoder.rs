//! A model that makes a vector of a text.

use rust_bert::{
    RustBertError,
    bert::{BertConfig, BertEmbeddings, BertModel},
};
use serde::Deserialize;
use tch::{Device, Tensor, nn::VarStore};

use super::{batch::Batch, error::EngineError, source::ModelSource, weights::Weights};

/// A BERT encoder without a head.
pub struct Encoder {
    bert: BertModel<BertEmbeddings>,
}

/// The length at which sentence-transformers cuts texts for this model.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: usize,
}

impl Encoder {
    /// The configuration of a model that must be a BERT encoder.
    pub fn config(source: &ModelSource) -> Result<BertConfig, EngineError> {
        let config: serde_json::Value = source.json("config.json")?;
        match config["model_type"].as_str() {
            Some("bert") | None => serde_json::from_value(config)
                .map_err(|fault| EngineError::load(source, format!("config.json: {fault}"))),
            Some(other) => Err(EngineError::load(
                source,
                format!("it is a {other} model, and sentences are encoded by BERT models only"),
            )),
        }
    }

    /// The longest sequence that is encoded, in tokens.
    pub fn max_len(source: &ModelSource, config: &BertConfig) -> usize {
        let most = usize::try_from(config.max_position_embeddings).unwrap_or(512);
        source
            .json("sentence_bert_config.json")
            .map_or(256, |sentence: SentenceConfig| sentence.max_seq_length)
            .min(most)
    }

    /// An encoder of that shape with those weights.
    pub fn new(config: &BertConfig, weights: &Weights) -> Result<Self, String> {
        let mut variables = VarStore::new(Device::Cpu);
        let bert = BertModel::new_with_optional_pooler(variables.root(), config, false);
        weights.fill(&mut variables)?;
        Ok(Self { bert })
    }

    /// The last hidden state, one vector a token.
    pub fn hidden(&self, batch: &Batch) -> Result<Tensor, RustBertError> {
        let (ids, mask) = (Some(&batch.ids), Some(&batch.mask));
        self.bert
            .forward_t(ids, mask, None, None, None, None, None, false)
            .map(|output| output.hidden_state)
    }

    /// One vector of length 1 a text: the mean over its tokens, normalised, as
    /// sentence-transformers computes it.
    pub fn embed(&self, batch: &Batch) -> Result<Tensor, RustBertError> {
        let mean = batch.mean(&self.hidden(batch)?);
        let along = [1i64].as_slice();
        let norm = mean.norm_scalaropt_dim(2, along, true).clamp_min(1e-12);
        Ok(mean / norm)
    }
}
