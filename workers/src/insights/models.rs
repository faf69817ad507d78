//! All models, and which one a text is for.

use std::time::Instant;

use rust_bert::RustBertError;
use tch::Tensor;

use super::{
    batch::Batch,
    classifier::Classifier,
    encoder::Encoder,
    error::EngineError,
    lora::Lora,
    sentiment::Sentiment,
    settings::{InsightsSettings, LORA},
    source::ModelSource,
    tokenizer::Tokenizer,
    weights::Weights,
};

/// Which model a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The sentence encoder.
    Embedding,
    /// The judge of sentiment.
    Sentiment,
}

/// The networks. They stay on the thread that loaded them.
pub struct Models {
    encoder: Encoder,
    sentiment: Sentiment,
}

/// The tokenizers that go with the networks; any thread may use them.
pub struct Tokenizers {
    /// For the sentence encoder.
    pub embedding: Tokenizer,
    /// For the judge of sentiment.
    pub sentiment: Tokenizer,
}

impl Models {
    /// Loads everything the settings name, and fetches it first if it is on
    /// the hub. Blocks; takes a second or so once the files are local.
    pub fn load(settings: &InsightsSettings) -> Result<(Self, Tokenizers), EngineError> {
        let started = Instant::now();
        let source = ModelSource::parse("model", &settings.encoder())?;
        tracing::info!("loading the sentence encoder {source}");
        let config = Encoder::config(&source)?;
        let weights = source.weights()?;
        let told = |fault| EngineError::load(&source, fault);
        let encoder = Encoder::new(&config, &weights).map_err(told)?;
        let embedding = Tokenizer::load(&source, Encoder::max_len(&source, &config))?;

        let (sentiment, judge) = if settings.sentiment == LORA {
            tracing::info!("adding the sentiment update to a second copy of it");
            let lora = Lora::shipped().map_err(told)?;
            let tokenizer = Tokenizer::load(&source, lora.max_len())?;
            (
                Self::lora(&lora, &config, &weights).map_err(told)?,
                tokenizer,
            )
        } else {
            let source = ModelSource::parse("sentiment", &settings.sentiment)?;
            tracing::info!("loading the sentiment classifier {source}");
            let (classifier, max_len) = Classifier::load(&source)?;
            (
                Sentiment::Classifier(classifier),
                Tokenizer::load(&source, max_len)?,
            )
        };
        tracing::info!(
            "models ready after {:.1} s",
            started.elapsed().as_secs_f64()
        );
        let tokenizers = Tokenizers {
            embedding,
            sentiment: judge,
        };
        Ok((Self { encoder, sentiment }, tokenizers))
    }

    fn lora(
        lora: &Lora,
        config: &rust_bert::bert::BertConfig,
        weights: &Weights,
    ) -> Result<Sentiment, String> {
        let merged = lora
            .merge(weights)
            .map_err(|fault| format!("the sentiment update does not fit it: {fault}"))?;
        Ok(Sentiment::Lora {
            encoder: Encoder::new(config, &merged)?,
            head: lora.head()?,
        })
    }

    /// What the lane's model says about each text of a batch: the embedding,
    /// or the one number of its positivity.
    pub fn run(&self, lane: Lane, batch: &Batch) -> Result<Tensor, RustBertError> {
        match lane {
            Lane::Embedding => self.encoder.embed(batch),
            Lane::Sentiment => self.sentiment.positivity(batch),
        }
    }
}
