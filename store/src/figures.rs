//! Figures over many calls: the agents' averages, and how many calls are in which state.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::convert::natural;
use crate::entity::agent::{self, Column};
use crate::entity::call::{self, State};
use crate::{Agent, Counts, Store, StoreError};

impl Store {
    /// The agents with at least one processed call, best first: by sentiment, then by talk
    /// ratio, both highest first, then by id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        let agents = agent::Entity::find()
            .filter(Column::TotalCalls.gt(0))
            .order_by_desc(Column::AvgSentimentScore)
            .order_by_desc(Column::AvgTalkRatio)
            .order_by_asc(Column::Id)
            .all(&self.db)
            .await?;
        Ok(agents.into_iter().map(Agent::from).collect())
    }

    /// How many calls are in which state.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let rows: Vec<(State, i64)> = call::Entity::find()
            .select_only()
            .column(call::Column::State)
            .column_as(call::Column::Id.count(), "count")
            .group_by(call::Column::State)
            .into_tuple()
            .all(&self.db)
            .await?;
        let mut counts = Counts::default();
        for (state, count) in rows {
            *match state {
                State::Pending => &mut counts.pending,
                State::Queued => &mut counts.queued,
                State::Processed => &mut counts.processed,
            } = natural(count);
        }
        Ok(counts)
    }
}

impl From<agent::Model> for Agent {
    fn from(row: agent::Model) -> Self {
        Self {
            agent_id: row.id,
            total_calls: natural(row.total_calls),
            avg_talk_ratio: row.avg_talk_ratio,
            avg_sentiment_score: row.avg_sentiment_score,
        }
    }
}
