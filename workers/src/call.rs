//! A call as it travels to `insights.process`, and how what a producer leaves
//! out is filled in.
//!
//! A producer need send no more than the two transcripts. Everything else is
//! derived from them and from the call's id, never from a clock or a random
//! number, so that the same call sent or ingested twice is the same call.

mod defaults;
mod language;
mod signature;
mod start_time;

use serde::{Deserialize, Serialize};
use store::NewCall;
use unicode_segmentation::UnicodeSegmentation;
use uuid::Uuid;

pub use defaults::CallDefaults;
pub use start_time::StartTime;

/// The longest transcript of one side that is accepted, in bytes.
pub const MAX_TRANSCRIPT_BYTES: usize = 1_000_000;

/// A call as a producer may send it: the transcripts, and what it knows
/// besides. Unknown keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallInput {
    /// What the customer said; `input` is accepted too.
    #[serde(alias = "input")]
    pub transcript_customer: Option<String>,
    /// What the agent said; `output` is accepted too.
    #[serde(alias = "output")]
    pub transcript_agent: Option<String>,
    /// The call's id; by default made from everything else in the call.
    pub call_id: Option<String>,
    /// The agent; by default whoever signed, or one of the pool.
    pub agent_id: Option<String>,
    /// The customer; by default made from the call's id.
    pub customer_id: Option<String>,
    /// ISO 639 code; by default guessed from the text.
    pub language: Option<String>,
    /// When the call began; by default made from the call's id.
    pub start_time: Option<StartTime>,
    /// How long it took, in seconds; by default estimated from the words.
    pub duration_seconds: Option<f64>,
}

/// Why a call cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum InvalidCall {
    /// There is nothing to analyse.
    #[error("both transcripts are empty")]
    Empty,
    /// A transcript is longer than [`MAX_TRANSCRIPT_BYTES`].
    #[error("transcript_{side} has {bytes} bytes, more than {MAX_TRANSCRIPT_BYTES}")]
    TooLong {
        /// `customer` or `agent`.
        side: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The duration is negative or longer than the store can hold.
    #[error("duration_seconds is out of range: {0}")]
    Duration(f64),
}

impl CallInput {
    /// Completes a call whose producer may have named it.
    ///
    /// # Errors
    /// [`InvalidCall`] when the call cannot be used.
    pub fn complete(self, defaults: &CallDefaults) -> Result<NewCall, InvalidCall> {
        let id = match self.call_id.as_deref().map(str::trim) {
            Some(given) if !given.is_empty() => defaults::id_of(given),
            _ => self.id_of_contents(),
        };
        self.complete_as(id, defaults)
    }

    /// Completes a call under an id that somebody else decides, such as the
    /// row it was read from.
    ///
    /// # Errors
    /// [`InvalidCall`] when the call cannot be used.
    pub fn complete_as(self, id: Uuid, defaults: &CallDefaults) -> Result<NewCall, InvalidCall> {
        let customer = transcript("customer", self.transcript_customer)?;
        let agent = transcript("agent", self.transcript_agent)?;
        if customer.is_empty() && agent.is_empty() {
            return Err(InvalidCall::Empty);
        }
        let words = customer.unicode_words().count() + agent.unicode_words().count();
        Ok(NewCall {
            call_id: id,
            agent_id: given(self.agent_id)
                .or_else(|| signature::signed_by(&agent))
                .unwrap_or_else(|| defaults.agent(id)),
            customer_id: given(self.customer_id).unwrap_or_else(|| defaults.customer(id)),
            language: given(self.language)
                .unwrap_or_else(|| language::guess(&customer, &agent).to_owned()),
            start_time: self
                .start_time
                .map_or_else(|| defaults.start_time(id), Into::into),
            duration_seconds: match self.duration_seconds {
                Some(seconds) => whole_seconds(seconds)?,
                None => defaults.duration(id, words),
            },
            transcript_customer: customer,
            transcript_agent: agent,
        })
    }

    fn id_of_contents(&self) -> Uuid {
        // Serializing a struct of strings and numbers into memory cannot fail;
        // were it to, all such calls would merely share the empty id.
        defaults::id_of(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// One side's text, trimmed and without NUL characters, which PostgreSQL
/// refuses.
fn transcript(side: &'static str, text: Option<String>) -> Result<String, InvalidCall> {
    let text = text.unwrap_or_default().replace('\0', "");
    let text = text.trim();
    match text.len() {
        0..=MAX_TRANSCRIPT_BYTES => Ok(text.to_owned()),
        bytes => Err(InvalidCall::TooLong { side, bytes }),
    }
}

/// A value that was really given: not null, not blank, no NUL characters.
fn given(text: Option<String>) -> Option<String> {
    let text = text?.replace('\0', "");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn whole_seconds(seconds: f64) -> Result<i32, InvalidCall> {
    if (0.0..=f64::from(i32::MAX)).contains(&seconds) {
        // In range as checked, so the cast only rounds.
        Ok(seconds.round() as i32)
    } else {
        Err(InvalidCall::Duration(seconds))
    }
}

#[cfg(test)]
mod tests;
