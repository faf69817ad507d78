//! Recording a call's insights, once, together with its agent's figures.

use futures::FutureExt;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::LockType;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use crate::embedding;
use crate::entity::call::State;
use crate::entity::{agent, call};
use crate::ingestion::insert_calls;
use crate::{Insights, NewCall, Recorded, Store, StoreError};

impl Store {
    /// Records what the models found in `call`, storing the call itself if it is unknown. The
    /// first time, its agent's figures move in the same transaction; every further time, even
    /// at the same moment, nothing changes.
    ///
    /// # Errors
    /// When an insight is not finite, or the database is away or stays locked; nothing is
    /// recorded then.
    pub async fn record_insights(
        &self,
        call: &NewCall,
        insights: &Insights,
    ) -> Result<Recorded, StoreError> {
        check(call.call_id, insights)?;
        self.write(&(call, insights), |transaction, (call, insights)| {
            record(transaction, call, insights).boxed()
        })
        .await
    }
}

async fn record(
    transaction: &DatabaseTransaction,
    call: &NewCall,
    insights: &Insights,
) -> Result<Recorded, StoreError> {
    insert_calls(transaction, vec![call]).await?;
    let (agent_id, state) = lock_call(transaction, call.call_id).await?;
    if state == State::Processed {
        return Ok(Recorded::AlreadyProcessed);
    }
    process(transaction, call.call_id, insights).await?;
    move_figures(transaction, &agent_id, insights).await?;
    Ok(Recorded::Stored)
}

/// Refuses what would spoil an average for good.
fn check(id: Uuid, insights: &Insights) -> Result<(), StoreError> {
    if !insights.agent_talk_ratio.is_finite() {
        return Err(StoreError::NotFinite("the talk ratio", id));
    }
    if !insights.customer_sentiment_score.is_finite() {
        return Err(StoreError::NotFinite("the sentiment", id));
    }
    if !insights.embedding.iter().all(|x| x.is_finite()) {
        return Err(StoreError::NotFinite("the embedding", id));
    }
    Ok(())
}

/// The call's agent and state, which nobody else changes until this transaction ends.
async fn lock_call(
    transaction: &DatabaseTransaction,
    id: Uuid,
) -> Result<(String, State), StoreError> {
    call::Entity::find_by_id(id)
        .select_only()
        .columns([call::Column::AgentId, call::Column::State])
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .one(transaction)
        .await?
        .ok_or_else(|| gone(format!("call {id}")))
}

async fn process(
    transaction: &DatabaseTransaction,
    id: Uuid,
    insights: &Insights,
) -> Result<(), StoreError> {
    let row = call::ActiveModel {
        state: Set(State::Processed),
        agent_talk_ratio: Set(Some(insights.agent_talk_ratio)),
        customer_sentiment_score: Set(Some(insights.customer_sentiment_score)),
        embedding: Set(Some(embedding::pack(&insights.embedding))),
        ..Default::default()
    };
    call::Entity::update_many()
        .set(row)
        .filter(call::Column::Id.eq(id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Adds one call to the agent's figures. The lock is `FOR NO KEY UPDATE`: every insertion of one
/// of the agent's calls holds a share of the agent's key, and a plain `FOR UPDATE` of two such
/// transactions would wait for each other's share.
async fn move_figures(
    transaction: &DatabaseTransaction,
    agent_id: &str,
    insights: &Insights,
) -> Result<(), StoreError> {
    let agent = agent::Entity::find_by_id(agent_id)
        .lock(LockType::NoKeyUpdate)
        .one(transaction)
        .await?
        .ok_or_else(|| gone(format!("agent {agent_id}")))?;
    let total = agent.total_calls + 1;
    let talk = agent.talk_ratio_millionths + millionths(insights.agent_talk_ratio);
    let sentiment = agent.sentiment_millionths + millionths(insights.customer_sentiment_score);
    let mut row = agent.into_active_model();
    row.total_calls = Set(total);
    row.talk_ratio_millionths = Set(talk);
    row.sentiment_millionths = Set(sentiment);
    row.avg_talk_ratio = Set(mean(talk, total));
    row.avg_sentiment_score = Set(mean(sentiment, total));
    row.update(transaction).await?;
    Ok(())
}

fn millionths(number: f64) -> i64 {
    (number * 1e6).round() as i64
}

fn mean(millionths: i64, count: i64) -> f64 {
    // One division, one rounding: five times 0.456 have the mean 0.456.
    millionths as f64 / (1e6 * count as f64)
}

fn gone(what: String) -> StoreError {
    StoreError::Database(DbErr::RecordNotFound(what))
}
