//! What clients see of calls and agents.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::Example;
use store::{Agent, Call, CallPage};
use uuid::Uuid;

/// A processed call.
#[derive(Object)]
#[oai(example)]
pub struct CallView {
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
    /// Agent words over all words, 0 to 1, at two decimals.
    pub agent_talk_ratio: f64,
    /// The customer's mood, -1 (worst) to 1 (best).
    pub customer_sentiment_score: f64,
    /// The embedding's first two components at two decimals, as a JSON text.
    pub embeddings: String,
}

impl From<Call> for CallView {
    fn from(call: Call) -> Self {
        Self {
            call_id: call.call_id,
            agent_id: call.agent_id,
            customer_id: call.customer_id,
            language: call.language,
            start_time: call.start_time,
            duration_seconds: call.duration_seconds,
            transcript_customer: call.transcript_customer,
            transcript_agent: call.transcript_agent,
            agent_talk_ratio: (call.agent_talk_ratio * 100.0).round() / 100.0,
            customer_sentiment_score: call.customer_sentiment_score,
            embeddings: glimpse(&call.embedding),
        }
    }
}

impl Example for CallView {
    fn example() -> Self {
        Self {
            call_id: Uuid::from_u128(0x5f2b_8c1e_9d3a_5e47_8b60_1f2e_3d4c_5b6a),
            agent_id: "kirsty".to_owned(),
            customer_id: "customer-1041".to_owned(),
            language: "en".to_owned(),
            start_time: DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000),
            duration_seconds: 312,
            transcript_customer: "My parcel is two weeks late.".to_owned(),
            transcript_agent: "I am sorry about that. May I have the order number?".to_owned(),
            agent_talk_ratio: 0.65,
            customer_sentiment_score: -0.62,
            embeddings: "[0.12, -0.03]".to_owned(),
        }
    }
}

/// A page of a listing.
#[derive(Object)]
#[oai(example)]
pub struct CallList {
    /// How many calls match, on all pages.
    pub total: u64,
    /// How many matching calls come before this page.
    pub offset: u64,
    /// The most calls that a page may have.
    pub limit: u64,
    /// This page's calls, newest first.
    pub data: Vec<CallView>,
}

impl CallList {
    /// The page that the store gave for this offset and limit.
    pub fn new(page: CallPage, offset: u64, limit: u64) -> Self {
        Self {
            total: page.total,
            offset,
            limit,
            data: page.calls.into_iter().map(CallView::from).collect(),
        }
    }
}

impl Example for CallList {
    fn example() -> Self {
        Self {
            total: 1,
            offset: 0,
            limit: 10,
            data: vec![CallView::example()],
        }
    }
}

/// A call like another.
#[derive(Object)]
pub struct SimilarCall {
    /// The call's id.
    pub call_id: Uuid,
    /// What the agent said.
    pub transcript_agent: String,
    /// What the customer said.
    pub transcript_customer: String,
}

impl From<Call> for SimilarCall {
    fn from(call: Call) -> Self {
        Self {
            call_id: call.call_id,
            transcript_agent: call.transcript_agent,
            transcript_customer: call.transcript_customer,
        }
    }
}

/// What a call recommends.
#[derive(Object)]
#[oai(example)]
pub struct Recommendations {
    /// The call's id.
    pub call_id: Uuid,
    /// Up to five calls most like it, most alike first.
    pub similar_calls: Vec<SimilarCall>,
    /// Three pieces of advice for the agent, most urgent first, each with its reason.
    pub coaching_nudges: Vec<String>,
}

impl Example for Recommendations {
    fn example() -> Self {
        let call = CallView::example();
        Self {
            call_id: call.call_id,
            similar_calls: vec![SimilarCall {
                call_id: Uuid::from_u128(0x0b1c_2d3e_4f50_5162_9374_8596_a7b8_c9da),
                transcript_agent: call.transcript_agent,
                transcript_customer: call.transcript_customer,
            }],
            coaching_nudges: vec![
                "Leave the customer more room: you spoke 72% of the words.".to_owned(),
            ],
        }
    }
}

/// An agent's figures over all of their processed calls.
#[derive(Object)]
#[oai(example)]
pub struct AgentView {
    /// The agent's id.
    pub agent_id: String,
    /// How many processed calls they took.
    pub total_calls: u64,
    /// Mean talk ratio of their calls, 0 to 1.
    pub avg_talk_ratio: f64,
    /// Mean customer sentiment of their calls, -1 to 1.
    pub avg_sentiment_score: f64,
}

impl From<Agent> for AgentView {
    fn from(agent: Agent) -> Self {
        Self {
            agent_id: agent.agent_id,
            total_calls: agent.total_calls,
            avg_talk_ratio: agent.avg_talk_ratio,
            avg_sentiment_score: agent.avg_sentiment_score,
        }
    }
}

impl Example for AgentView {
    fn example() -> Self {
        Self {
            agent_id: "kirsty".to_owned(),
            total_calls: 42,
            avg_talk_ratio: 0.53,
            avg_sentiment_score: 0.21,
        }
    }
}

/// The first two components at two decimals, such as `[0.12, -0.03]`.
fn glimpse(embedding: &[f32]) -> String {
    let rounded = embedding.iter().take(2).map(|x| {
        let x = (x * 100.0).round() / 100.0;
        // Adding zero turns -0 into 0.
        format!("{:.2}", x + 0.0)
    });
    format!("[{}]", rounded.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::glimpse;

    #[test]
    fn embeddings_are_shown_as_two_rounded_numbers() {
        assert_eq!(glimpse(&[0.1249, -0.0261, 0.5]), "[0.12, -0.03]");
        assert_eq!(glimpse(&[-0.001, 1.0]), "[0.00, 1.00]");
        assert_eq!(glimpse(&[]), "[]");
    }
}
