//! Between what callers see and what the tables hold.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::FromQueryResult;
use sea_orm::prelude::DateTimeUtc;
use uuid::Uuid;

use crate::embedding;
use crate::entity::call::{self, State};
use crate::{Call, NewCall, StoreError};

/// A call without its insights: the columns that make a [`NewCall`], and no others.
#[derive(FromQueryResult)]
pub(crate) struct BareCall {
    id: Uuid,
    agent_id: String,
    customer_id: String,
    language: String,
    start_time: DateTimeUtc,
    duration_seconds: i32,
    transcript_customer: String,
    transcript_agent: String,
}

impl From<BareCall> for NewCall {
    fn from(call: BareCall) -> Self {
        Self {
            call_id: call.id,
            agent_id: call.agent_id,
            customer_id: call.customer_id,
            language: call.language,
            start_time: call.start_time,
            duration_seconds: call.duration_seconds,
            transcript_customer: call.transcript_customer,
            transcript_agent: call.transcript_agent,
        }
    }
}

impl TryFrom<call::Model> for Call {
    type Error = StoreError;

    fn try_from(row: call::Model) -> Result<Self, StoreError> {
        let missing = || StoreError::Damaged(row.id, "an insight is missing");
        Ok(Self {
            call_id: row.id,
            agent_talk_ratio: row.agent_talk_ratio.ok_or_else(missing)?,
            customer_sentiment_score: row.customer_sentiment_score.ok_or_else(missing)?,
            embedding: row
                .embedding
                .as_deref()
                .and_then(embedding::unpack)
                .ok_or_else(missing)?,
            agent_id: row.agent_id,
            customer_id: row.customer_id,
            language: row.language,
            start_time: row.start_time,
            duration_seconds: row.duration_seconds,
            transcript_customer: row.transcript_customer,
            transcript_agent: row.transcript_agent,
        })
    }
}

/// The row to insert for a call of which no insight is known yet.
pub(crate) fn pending_row(call: &NewCall) -> call::ActiveModel {
    call::ActiveModel {
        id: Set(call.call_id),
        agent_id: Set(storable(&call.agent_id)),
        customer_id: Set(storable(&call.customer_id)),
        language: Set(storable(&call.language)),
        start_time: Set(call.start_time),
        duration_seconds: Set(call.duration_seconds),
        state: Set(State::Pending),
        agent_talk_ratio: NotSet,
        customer_sentiment_score: NotSet,
        embedding: NotSet,
        transcript_customer: Set(storable(&call.transcript_customer)),
        transcript_agent: Set(storable(&call.transcript_agent)),
    }
}

/// The text with NUL characters replaced: PostgreSQL refuses them, and one in a transcript must
/// not keep its whole page out.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The number as the databases hold it; what is beyond their range is as good as infinite.
pub(crate) fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or an offset, which the database never holds negative.
pub(crate) fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
