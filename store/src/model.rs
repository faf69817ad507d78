//! What goes into the store and what comes out of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A validated call as ingestion brings it, before any insight is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewCall {
    /// UUIDv5 of the data set and the row, so that a row always becomes the same call.
    pub call_id: Uuid,
    /// The agent who took the call; created on first sight.
    pub agent_id: String,
    /// The customer on the other end.
    pub customer_id: String,
    /// Language tag, such as `en`.
    pub language: String,
    /// When the call began.
    pub start_time: DateTime<Utc>,
    /// How long it lasted, in seconds.
    pub duration_seconds: i32,
    /// What the customer said; full-text searched.
    pub transcript_customer: String,
    /// What the agent said.
    pub transcript_agent: String,
}

/// What the models found in one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Insights {
    /// Agent words over all words, 0 to 1.
    pub agent_talk_ratio: f64,
    /// The customer's mood, -1 (worst) to 1 (best).
    pub customer_sentiment_score: f64,
    /// The sentence embedding of the transcript.
    pub embedding: Vec<f32>,
}

/// What [`Store::record_insights`](crate::Store::record_insights) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The call is processed now, and its agent's figures moved.
    Stored,
    /// Somebody had processed the call before; nothing changed.
    AlreadyProcessed,
}

/// How many of a page's calls were new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Calls that were not known before.
    pub stored: u64,
    /// Calls that were known, from an earlier page or from this one.
    pub duplicates: u64,
}

/// A row of the source that could not become a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// The row's place in its source, counted from 0.
    pub offset: u64,
    /// Why it was rejected, in plain words.
    pub reason: String,
    /// The row as it came.
    pub raw: String,
}

/// What one ingested page brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Names the data set, its configuration and its split.
    pub source: String,
    /// Where the next page starts.
    pub next_offset: u64,
    /// The page's valid rows.
    pub calls: Vec<NewCall>,
    /// The page's other rows, kept aside.
    pub rejected: Vec<RejectedRow>,
}

/// A processed call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The call's id.
    pub call_id: Uuid,
    /// The agent who took the call.
    pub agent_id: String,
    /// The customer on the other end.
    pub customer_id: String,
    /// Language tag, such as `en`.
    pub language: String,
    /// When the call began.
    pub start_time: DateTime<Utc>,
    /// How long it lasted, in seconds.
    pub duration_seconds: i32,
    /// What the customer said.
    pub transcript_customer: String,
    /// What the agent said.
    pub transcript_agent: String,
    /// Agent words over all words, 0 to 1.
    pub agent_talk_ratio: f64,
    /// The customer's mood, -1 (worst) to 1 (best).
    pub customer_sentiment_score: f64,
    /// The sentence embedding of the transcript.
    pub embedding: Vec<f32>,
}

/// Which processed calls to list; a field left `None` filters nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFilter {
    /// At most this many rows (the total counts all).
    pub limit: u64,
    /// Rows to skip, newest first.
    pub offset: u64,
    /// Calls of this agent only.
    pub agent_id: Option<String>,
    /// Calls that began at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Calls that began at this moment or earlier.
    pub to: Option<DateTime<Utc>>,
    /// Lowest customer sentiment, inclusive.
    pub min_sentiment: Option<f64>,
    /// Highest customer sentiment, inclusive.
    pub max_sentiment: Option<f64>,
    /// Words that the customer said, all of them, in any order.
    pub q: Option<String>,
}

impl Default for CallFilter {
    /// The ten newest calls.
    fn default() -> Self {
        Self {
            limit: 10,
            offset: 0,
            agent_id: None,
            from: None,
            to: None,
            min_sentiment: None,
            max_sentiment: None,
            q: None,
        }
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallPage {
    /// How many calls match the filter, on all pages.
    pub total: u64,
    /// This page's calls, newest first.
    pub calls: Vec<Call>,
}

/// An agent's figures over all of their processed calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The agent's id.
    pub agent_id: String,
    /// How many processed calls they took.
    pub total_calls: u64,
    /// Mean of their calls' talk ratios.
    pub avg_talk_ratio: f64,
    /// Mean of their calls' customer sentiment.
    pub avg_sentiment_score: f64,
}

/// How many calls are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stored, not yet handed to the queue.
    pub pending: u64,
    /// Handed to the queue.
    pub queued: u64,
    /// Insights recorded.
    pub processed: u64,
}
