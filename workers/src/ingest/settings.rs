//! The `[ingest]` section of the configuration.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;

use super::huggingface::HuggingFace;
use super::jsonl::Jsonl;
use super::sample::Sample;
use super::source::{FetchError, TranscriptSource};
use crate::call::CallDefaults;

/// Where transcripts come from and how they are brought in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestSettings {
    /// Which source is read.
    pub source: SourceKind,
    /// The data set on the hub.
    pub dataset: String,
    /// The data set's configuration.
    pub config: String,
    /// The data set's split.
    pub split: String,
    /// The data sets server.
    pub endpoint: String,
    /// A token of the hub, for data sets that ask for one. Never logged.
    pub token: Option<SecretString>,
    /// The file that the `jsonl` source reads.
    pub path: PathBuf,
    /// Rows a request; the data sets server gives at most 100.
    pub page_size: NonZeroU64,
    /// Rows a run, where the task is not told otherwise.
    pub limit: u64,
    /// Page requests under way at once.
    pub concurrency: NonZeroUsize,
    /// How long one request may take.
    pub request_timeout_seconds: f64,
    /// How often a page that failed is tried again.
    pub retries: usize,
    /// The wait before the first retry; it doubles with each.
    pub retry_backoff_seconds: f64,
    /// Where raw pages are kept.
    pub transcripts_dir: PathBuf,
    /// Agents that unsigned calls are shared among.
    pub agents: Vec<String>,
    /// The latest start that is made up for a call without one.
    pub latest_start: DateTime<Utc>,
    /// Made-up starts are spread over this many days.
    pub spread_days: u32,
    /// The queue of `insights.process`.
    pub queue: String,
}

/// The sources there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The calls that are embedded in the program.
    Sample,
    /// A data set, by way of the data sets server.
    HuggingFace,
    /// A file with one dialogue a line.
    Jsonl,
}

impl Default for IngestSettings {
    fn default() -> Self {
        let agents = [
            "amira", "bruno", "chen", "dana", "kirsty", "lucia", "marco", "priya",
        ];
        Self {
            source: SourceKind::Sample,
            dataset: "MohammadOthman/mo-customer-support-tweets-945k".to_owned(),
            config: "default".to_owned(),
            split: "train".to_owned(),
            endpoint: "https://datasets-server.huggingface.co".to_owned(),
            token: None,
            path: PathBuf::new(),
            page_size: NonZeroU64::MIN.saturating_add(99),
            limit: 300,
            concurrency: NonZeroUsize::MIN.saturating_add(2),
            request_timeout_seconds: 30.0,
            retries: 3,
            retry_backoff_seconds: 0.5,
            transcripts_dir: "var/transcripts".into(),
            agents: agents.map(str::to_owned).to_vec(),
            // Always parses; were it not to, 1970 would do as well.
            latest_start: "2025-07-01T00:00:00Z".parse().unwrap_or_default(),
            spread_days: 90,
            queue: "insights".to_owned(),
        }
    }
}

impl IngestSettings {
    /// What calls are completed with.
    pub fn call_defaults(&self) -> CallDefaults {
        CallDefaults {
            agents: self.agents.clone(),
            latest_start: self.latest_start,
            spread_days: self.spread_days,
        }
    }

    /// The source that is set.
    ///
    /// # Errors
    /// [`FetchError`] when the source cannot be used as it is set.
    pub fn transcript_source(&self) -> Result<Arc<dyn TranscriptSource>, FetchError> {
        Ok(match self.source {
            SourceKind::Sample => Arc::new(Sample),
            SourceKind::HuggingFace => Arc::new(HuggingFace::new(self)?),
            SourceKind::Jsonl => Arc::new(Jsonl::new(&self.path)),
        })
    }

    /// How long one request may take.
    pub fn request_timeout(&self) -> Duration {
        seconds(self.request_timeout_seconds)
    }

    /// The wait before the first retry.
    pub fn retry_backoff(&self) -> Duration {
        seconds(self.retry_backoff_seconds)
    }
}

/// What no clock can hold (negative, endless) counts as nothing.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}
