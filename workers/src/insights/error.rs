//! What can go wrong with models.

use super::source::ModelSource;

/// Why the engine could not start, or could not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A setting names something that is neither a directory nor a hub id.
    #[error("insights.{setting} = {value:?}: {reason}")]
    Setting {
        /// The key below `insights`.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What is wrong with it, in plain words.
        reason: String,
    },
    /// A file of a model is missing, unreadable or not what it should be.
    #[error("cannot load the model {model}: {reason}")]
    Load {
        /// Where the model was to come from.
        model: String,
        /// What went wrong, in plain words.
        reason: String,
    },
    /// libtorch refused this text, also on its own.
    #[error("the model failed on this text: {0}")]
    Inference(String),
    /// The model thread is gone; only a fault of its own can end it early.
    #[error("the model thread has stopped")]
    Stopped,
}

impl EngineError {
    /// A load error of `model` with whatever explains it.
    pub(super) fn load(model: &ModelSource, reason: impl ToString) -> Self {
        Self::Load {
            model: model.to_string(),
            reason: reason.to_string(),
        }
    }
}
