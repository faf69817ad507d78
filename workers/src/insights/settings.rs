//! The settings of the models.

use std::{env, path::PathBuf, time::Duration};

use serde::Deserialize;

/// The table `[insights]` of `celeryconfig.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InsightsSettings {
    /// The sentence encoder, a BERT model: a directory, or a hub id such as
    /// `sentence-transformers/all-MiniLM-L6-v2`. Unset, it is the directory
    /// that `scripts/fetch-model` fills, or that hub id where there is none.
    pub model: Option<String>,
    /// What judges sentiment: `lora`, the update of the default encoder that
    /// comes with this crate, or a directory or hub id of a BERT or
    /// DistilBERT sequence classifier.
    pub sentiment: String,
    /// Threads that libtorch may use within one operation. One is robust when
    /// other processes share the cores; more spin against them.
    pub torch_threads: u16,
    /// The largest number of texts in one batch. Long texts make smaller
    /// batches of themselves.
    pub max_batch: usize,
    /// How long a batch may wait for more texts, in milliseconds. Only a busy
    /// engine waits: a text that comes alone is computed at once.
    pub batch_wait_ms: u64,
}

/// The value of `sentiment` that means the update shipped with this crate.
pub const LORA: &str = "lora";

/// The encoder on the hub that the default settings stand for.
pub const DEFAULT_MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";

impl Default for InsightsSettings {
    fn default() -> Self {
        Self {
            model: None,
            sentiment: LORA.to_owned(),
            torch_threads: 1,
            max_batch: 32,
            batch_wait_ms: 3,
        }
    }
}

impl InsightsSettings {
    /// The longest that a batch waits for more texts.
    pub fn batch_wait(&self) -> Duration {
        Duration::from_millis(self.batch_wait_ms)
    }

    /// The encoder that is meant: `model`, or what stands in for it.
    pub fn encoder(&self) -> String {
        self.model.clone().unwrap_or_else(default_model)
    }
}

fn default_model() -> String {
    let directory = cache_directory().join("models/all-MiniLM-L6-v2");
    match directory.is_dir() {
        true => directory.to_string_lossy().into_owned(),
        false => DEFAULT_MODEL.to_owned(),
    }
}

/// Where the scripts keep what they fetch: `CELERIAC_CACHE`, or
/// `~/.cache/celeriac`.
fn cache_directory() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/celeriac");
    env::var_os("CELERIAC_CACHE").map_or_else(home, PathBuf::from)
}
