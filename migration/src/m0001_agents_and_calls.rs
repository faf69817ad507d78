//! Agents with their figures, and calls with their transcripts and insights.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Agent {
    Table,
    Id,
    TotalCalls,
    AvgTalkRatio,
    AvgSentimentScore,
    TalkRatioMillionths,
    SentimentMillionths,
}

#[derive(DeriveIden)]
enum Call {
    Table,
    Seq,
    Id,
    AgentId,
    CustomerId,
    Language,
    StartTime,
    DurationSeconds,
    State,
    AgentTalkRatio,
    CustomerSentimentScore,
    Embedding,
    TranscriptCustomer,
    TranscriptAgent,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(agent_table()).await?;
        manager
            .create_table(call_table(manager.get_database_backend()))
            .await?;
        for index in call_indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(Call::Table).take())
            .await?;
        manager
            .drop_table(Table::drop().table(Agent::Table).take())
            .await
    }
}

/// The averages are what readers want; the sums beside them are what keeps the averages true.
/// They are whole millionths, since integers add up to the same in any order and never drift.
fn agent_table() -> TableCreateStatement {
    Table::create()
        .table(Agent::Table)
        .col(ColumnDef::new(Agent::Id).text().not_null().primary_key())
        .col(counter(Agent::TotalCalls))
        .col(
            ColumnDef::new(Agent::AvgTalkRatio)
                .double()
                .not_null()
                .default(0.0),
        )
        .col(
            ColumnDef::new(Agent::AvgSentimentScore)
                .double()
                .not_null()
                .default(0.0),
        )
        .col(counter(Agent::TalkRatioMillionths))
        .col(counter(Agent::SentimentMillionths))
        .take()
}

fn counter(name: Agent) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .default(0)
        .take()
}

/// The transcripts stand last, so that a scan of embeddings need not read past them.
fn call_table(backend: DbBackend) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Call::Table);
    identify_call(&mut table, backend);
    table
        .col(ColumnDef::new(Call::AgentId).text().not_null())
        .col(ColumnDef::new(Call::CustomerId).text().not_null())
        .col(ColumnDef::new(Call::Language).text().not_null())
        .col(
            ColumnDef::new(Call::StartTime)
                .timestamp_with_time_zone()
                .not_null(),
        )
        .col(ColumnDef::new(Call::DurationSeconds).integer().not_null())
        .col(ColumnDef::new(Call::State).text().not_null())
        .col(ColumnDef::new(Call::AgentTalkRatio).double())
        .col(ColumnDef::new(Call::CustomerSentimentScore).double())
        .col(ColumnDef::new(Call::Embedding).blob())
        .col(ColumnDef::new(Call::TranscriptCustomer).text().not_null())
        .col(ColumnDef::new(Call::TranscriptAgent).text().not_null())
        .check(Expr::col(Call::State).is_in(["pending", "queued", "processed"]))
        .foreign_key(
            ForeignKey::create()
                .name("call_agent")
                .from(Call::Table, Call::AgentId)
                .to(Agent::Table, Agent::Id),
        );
    table
}

/// SQLite's full-text index points at row numbers, and only an integer key of its own keeps a
/// row's number through a `VACUUM`; so there the UUID is unique beside it.
fn identify_call(table: &mut TableCreateStatement, backend: DbBackend) {
    let mut id = ColumnDef::new(Call::Id);
    id.uuid().not_null();
    if backend == DbBackend::Sqlite {
        table.col(
            ColumnDef::new(Call::Seq)
                .integer()
                .not_null()
                .primary_key()
                .auto_increment(),
        );
        table.col(id.unique_key());
    } else {
        table.col(id.primary_key());
    }
}

fn call_indexes() -> [IndexCreateStatement; 4] {
    [
        call_index("call_agent_id", [Call::AgentId]),
        call_index("call_start_time", [Call::StartTime]),
        call_index("call_sentiment", [Call::CustomerSentimentScore]),
        // The listing's filter and its order, and the states' counts.
        call_index("call_state_start", [Call::State, Call::StartTime, Call::Id]),
    ]
}

fn call_index<const N: usize>(name: &str, columns: [Call; N]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(Call::Table);
    for column in columns {
        index.col(column);
    }
    index
}
