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
    /// The answer is a page for people, such as a proxy's or a login.
    #[error("the server answered with HTML, not with rows: {0}")]
    Html(String),
    /// Not the rows that were asked for, or not all of them.
    #[error("the server left out row {expected}: {}", what_came(.found))]
    Misplaced {
        /// The row that was to come.
        expected: u64,
        /// The one that came, if any did.
        found: Option<u64>,
    },
    /// The data set lacks a column that is read.
    #[error(
        "the data set has the columns {}; the customer's side is read from `input` or `transcript_customer`, \
         the agent's from `output` or `transcript_agent`, or both from `turns`",
        .0.join(", ")
    )]
    Columns(Vec<String>),
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
    /// Whether the same request may succeed later, nobody doing anything here.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Malformed(error) => !error.is_data(),
            Self::BrokenOff(_) | Self::Misplaced { .. } => true,
            _ => self.is_outage(),
        }
    }

    /// Whether the server is away or has no time: the next run finds it back.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Status { status, .. } => passes(*status),
            Self::Transport(error) => !error.is_builder() && !error.is_redirect(),
            _ => false,
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

/// Whether a refusal passes by itself. What the server cannot do at all
/// (501, 505), and what it asks of the network (511), is the same for ever.
fn passes(status: StatusCode) -> bool {
    match status.as_u16() {
        408 | 425 | 429 => true,
        501 | 505 | 506 | 508 | 510 | 511 => false,
        _ => status.is_server_error(),
    }
}

fn what_came(found: &Option<u64>) -> String {
    match found {
        Some(row) => format!("row {row} came in its place"),
        None => "no row came, though there are more".to_owned(),
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
