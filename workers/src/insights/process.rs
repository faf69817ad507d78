//! The work of `insights.process`: one call, from its text to its row.

use celery::error::TaskError;
use serde::Serialize;
use store::{Insights, NewCall, Recorded, Store, StoreError};
use uuid::Uuid;

use super::{
    engine::{Analysis, Engine},
    error::EngineError,
    talk_ratio::talk_ratio,
};
use crate::call::InvalidCall;

/// What `insights.process` answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessedCall {
    /// The call that was processed.
    pub call_id: Uuid,
    /// The agent's share of the words, from 0 to 1 in hundredths.
    pub agent_talk_ratio: f64,
    /// The customer's mood, from -1 to 1 in hundredths.
    pub customer_sentiment_score: f64,
    /// Always `processed`.
    pub state: &'static str,
    /// Whether this run stored the insights; false if an earlier one had.
    pub stored: bool,
}

/// Why a call could not be processed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The call itself cannot be used; trying again would not help.
    #[error(transparent)]
    Invalid(#[from] InvalidCall),
    /// The models failed on it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store could not record it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Only trouble with the database passes by itself; only there is a retry of
/// use. Texts of the form `ValueError: …` reach a Python client as that class.
impl From<ProcessError> for TaskError {
    fn from(fault: ProcessError) -> Self {
        match fault {
            ProcessError::Invalid(fault) => Self::UnexpectedError(format!("ValueError: {fault}")),
            ProcessError::Engine(fault) => Self::UnexpectedError(format!("RuntimeError: {fault}")),
            ProcessError::Store(StoreError::Database(_) | StoreError::TimedOut(_)) => {
                Self::ExpectedError(fault.to_string())
            }
            ProcessError::Store(fault) => Self::UnexpectedError(format!("RuntimeError: {fault}")),
        }
    }
}

/// Computes the insights into a call and records them, once: a second time
/// gives the same answer and changes nothing.
///
/// # Errors
/// When the models or the store fail; nothing is recorded then.
pub async fn analyse_and_record(
    engine: &Engine,
    store: &Store,
    call: &NewCall,
) -> Result<ProcessedCall, ProcessError> {
    let (customer, agent) = (&call.transcript_customer, &call.transcript_agent);
    let Analysis {
        embedding,
        sentiment,
    } = engine.analyse(customer, agent).await?;
    let insights = Insights {
        agent_talk_ratio: talk_ratio(customer, agent),
        customer_sentiment_score: sentiment,
        embedding,
    };
    let recorded = store.record_insights(call, &insights).await?;
    Ok(ProcessedCall {
        call_id: call.call_id,
        agent_talk_ratio: insights.agent_talk_ratio,
        customer_sentiment_score: insights.customer_sentiment_score,
        state: "processed",
        stored: recorded == Recorded::Stored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_with_the_database_is_tried_again() {
        let invalid = TaskError::from(ProcessError::Invalid(InvalidCall::Empty));
        assert!(
            matches!(invalid, TaskError::UnexpectedError(text) if text.starts_with("ValueError: "))
        );
        let slow = ProcessError::Store(StoreError::TimedOut(std::time::Duration::from_secs(5)));
        assert!(matches!(TaskError::from(slow), TaskError::ExpectedError(_)));
    }
}
