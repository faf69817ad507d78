//! A call, from the moment it is stored until its insights are known.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "call")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub agent_id: String,
    pub customer_id: String,
    pub language: String,
    pub start_time: DateTimeUtc,
    pub duration_seconds: i32,
    pub state: State,
    pub agent_talk_ratio: Option<f64>,
    pub customer_sentiment_score: Option<f64>,
    /// 32-bit floats, little-endian.
    pub embedding: Option<Vec<u8>>,
    pub transcript_customer: String,
    pub transcript_agent: String,
}

/// How far a call has come; it only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    /// Stored, not yet handed to the queue.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// Handed to the queue.
    #[sea_orm(string_value = "queued")]
    Queued,
    /// Insights recorded.
    #[sea_orm(string_value = "processed")]
    Processed,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::agent::Entity",
        from = "Column::AgentId",
        to = "super::agent::Column::Id"
    )]
    Agent,
}

impl Related<super::agent::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Agent.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
