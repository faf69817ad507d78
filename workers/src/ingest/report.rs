//! What a run tells: what it did, or why it ended early.

use std::io;

use serde::{Deserialize, Serialize};
use store::StoreError;

use super::handover::SendError;
use super::retry::asks_too_much;
use super::source::FetchError;

/// What a run did; the result of `ingest.run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The source's name.
    pub source: String,
    /// Rows received.
    pub fetched: u64,
    /// Calls that are new in the store.
    pub stored: u64,
    /// Calls that the store had already.
    pub duplicates: u64,
    /// Rows kept aside because they are no calls.
    pub invalid: u64,
    /// Calls sent to `insights.process`.
    pub queued: u64,
    /// Where the next run begins.
    pub next_offset: u64,
    /// How many rows the source has, where it says so.
    pub total: Option<u64>,
    /// Whether the end of the source was reached.
    pub exhausted: bool,
    /// Why the rest is left to the next run: the source is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed: Option<String>,
}

/// Why a run ended early. What it had stored stays.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A page could not be had.
    #[error("fetching the rows from {offset} on: {error}")]
    Fetch {
        /// The page's first row.
        offset: u64,
        /// What went wrong.
        #[source]
        error: FetchError,
    },
    /// A raw page could not be kept.
    #[error("writing a raw page: {0}")]
    Pages(#[from] io::Error),
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error("sending calls: {0}")]
    Send(#[from] SendError),
}

impl IngestError {
    /// Whether another run may succeed without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch { error, .. } => error.is_transient(),
            Self::Pages(error) => !needs_somebody(error),
            Self::Store(error) => {
                matches!(error, StoreError::Database(_) | StoreError::TimedOut(_))
            }
            Self::Send(error) => error.passes,
        }
    }

    /// Whether the source is away: all there is to do is to come back later.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Fetch { error, .. } if error.is_outage())
    }

    /// Whether the source wants to be left alone for longer than a run waits.
    pub fn asks_too_much(&self) -> bool {
        matches!(self, Self::Fetch { error, .. } if asks_too_much(error))
    }
}

/// Whether a folder stays as it is until somebody sets it right. A full disk
/// may have room again.
fn needs_somebody(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    matches!(
        error.kind(),
        InvalidFilename | NotADirectory | PermissionDenied | ReadOnlyFilesystem
    )
}
