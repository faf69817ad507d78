//! What a source of transcripts is.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;

use crate::call::CallInput;

/// Gives transcripts page by page, in an order that never changes, so that a
/// row's place names it for ever.
#[async_trait]
pub trait TranscriptSource: Send + Sync {
    /// Identifies the rows: the cursor and the ids of the calls hang on it.
    fn name(&self) -> String;

    /// Fetches the rows from `offset` on, at most `limit` of them. Fewer do
    /// not mean the end; an empty page does.
    ///
    /// # Errors
    /// [`FetchError`]; it says whether trying again may help.
    async fn fetch(&self, offset: u64, limit: u64) -> Result<RawPage, FetchError>;

    /// The ending of a raw page's file name.
    fn extension(&self) -> &'static str {
        "json"
    }
}

/// A page as it came, and its rows.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    /// The bytes received.
    pub raw: Vec<u8>,
    /// One entry a row, good or bad.
    pub rows: Vec<Row>,
    /// How many rows the source has in all, where it says so.
    pub total: Option<u64>,
}

/// A row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's place in its source, counted from 0.
    pub index: u64,
    /// The row as it came.
    pub raw: String,
    /// Its transcripts, or why it has none, in plain words.
    pub call: Result<CallInput, String>,
}

/// Why a page could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server answered, but not with a page.
    #[error("the server answered {status}: {detail}")]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// The start of the answer's body.
        detail: String,
    },
    /// The server was not reached, fell silent, or broke off.
    #[error("the request failed: {}", causes(.0))]
    Transport(#[source] reqwest::Error),
    /// The program broke the request off.
    #[error("the request was broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
    /// The answer is no page; such as one that a proxy cut short.
    #[error("the answer is not a page of rows: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The answer is larger than any page should be.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// A file could not be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// The source is set up wrongly.
    #[error("the source is set up wrongly: {0}")]
    Settings(String),
}

impl FetchError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Transport(error) => !error.is_builder() && !error.is_redirect(),
            Self::Malformed(_) | Self::BrokenOff(_) => true,
            Self::TooLarge(_) | Self::File { .. } | Self::Settings(_) => false,
        }
    }

    /// How long the server asks to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An error with what led to it; reqwest's own words leave that out.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
