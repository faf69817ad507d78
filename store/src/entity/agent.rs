//! An agent and their figures.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "agent")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub total_calls: i64,
    pub avg_talk_ratio: f64,
    pub avg_sentiment_score: f64,
    /// The sum behind the average, in millionths.
    pub talk_ratio_millionths: i64,
    /// The sum behind the average, in millionths.
    pub sentiment_millionths: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(has_many = "super::call::Entity")]
    Call,
}

impl Related<super::call::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Call.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
