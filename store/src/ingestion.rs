//! What ingestion writes: pages of calls, the cursor, and the hand-over to the queue.

use std::collections::BTreeSet;

use futures::FutureExt;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::convert::{BareCall, bounded, natural, pending_row, storable};
use crate::entity::call::State;
use crate::entity::{agent, call, cursor, rejected_row};
use crate::{Inserted, NewCall, Page, RejectedRow, Store, StoreError};

/// Rows a statement: well within the databases' limits on bound values (32,766 on SQLite).
const BATCH: usize = 500;

impl Store {
    /// Where the next page of `source` starts; 0 for a source never read.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn cursor(&self, source: &str) -> Result<u64, StoreError> {
        let cursor = cursor::Entity::find_by_id(storable(source))
            .one(&self.db)
            .await?;
        Ok(cursor.map_or(0, |cursor| natural(cursor.next_offset)))
    }

    /// Stores a page whole: its calls as pending, its rejected rows, and the cursor moved
    /// forward (never back), in one transaction. What is known already stays as it is.
    ///
    /// # Errors
    /// When the database is away or stays locked; nothing of the page is stored then.
    pub async fn insert_page(&self, page: &Page) -> Result<Inserted, StoreError> {
        self.write(page, |transaction, page| {
            store_page(transaction, page).boxed()
        })
        .await
    }

    /// Up to `limit` calls that are stored but not yet handed to the queue, oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn pending(&self, limit: u64) -> Result<Vec<NewCall>, StoreError> {
        let calls = call::Entity::find()
            .filter(call::Column::State.eq(State::Pending))
            .order_by_asc(call::Column::StartTime)
            .order_by_asc(call::Column::Id)
            .limit(natural(bounded(limit)))
            .into_model::<BareCall>()
            .all(&self.db)
            .await?;
        Ok(calls.into_iter().map(NewCall::from).collect())
    }

    /// Notes that these calls were handed to the queue; those no longer pending stay as they are.
    ///
    /// # Errors
    /// When the database is away or stays locked; no call is marked then.
    pub async fn mark_queued(&self, ids: &[Uuid]) -> Result<(), StoreError> {
        self.write(ids, |transaction, ids| queue(transaction, ids).boxed())
            .await
    }
}

async fn store_page(
    transaction: &DatabaseTransaction,
    page: &Page,
) -> Result<Inserted, StoreError> {
    let stored = insert_calls(transaction, page.calls.iter().collect()).await?;
    keep_aside(transaction, &page.source, &page.rejected).await?;
    move_cursor(transaction, &page.source, page.next_offset).await?;
    Ok(Inserted {
        stored,
        duplicates: page.calls.len() as u64 - stored,
    })
}

async fn queue(transaction: &DatabaseTransaction, ids: &[Uuid]) -> Result<(), StoreError> {
    for batch in ids.chunks(BATCH) {
        call::Entity::update_many()
            .col_expr(call::Column::State, Expr::value(State::Queued))
            .filter(call::Column::Id.is_in(batch.iter().copied()))
            .filter(call::Column::State.eq(State::Pending))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Inserts the unknown ones among `calls`, and their agents; says how many there were.
/// In order of their ids, so that two transactions never wait for each other crosswise.
pub(crate) async fn insert_calls(
    transaction: &DatabaseTransaction,
    mut calls: Vec<&NewCall>,
) -> Result<u64, StoreError> {
    let agents: BTreeSet<String> = calls.iter().map(|call| storable(&call.agent_id)).collect();
    let agents: Vec<String> = agents.into_iter().collect();
    for batch in agents.chunks(BATCH) {
        insert_agents(transaction, batch).await?;
    }
    calls.sort_by_key(|call| call.call_id);
    let mut stored = 0;
    for batch in calls.chunks(BATCH) {
        stored += call::Entity::insert_many(batch.iter().map(|call| pending_row(call)))
            .on_conflict(OnConflict::column(call::Column::Id).do_nothing().to_owned())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(stored)
}

async fn insert_agents(
    transaction: &DatabaseTransaction,
    ids: &[String],
) -> Result<(), StoreError> {
    let agents = ids.iter().map(|id| agent::ActiveModel {
        id: Set(id.clone()),
        total_calls: Set(0),
        ..Default::default()
    });
    agent::Entity::insert_many(agents)
        .on_conflict(
            OnConflict::column(agent::Column::Id)
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

async fn keep_aside(
    transaction: &DatabaseTransaction,
    source: &str,
    rows: &[RejectedRow],
) -> Result<(), StoreError> {
    use rejected_row::Column::{RowOffset, Source};
    for batch in rows.chunks(BATCH) {
        let rows = batch.iter().map(|row| rejected_row::ActiveModel {
            source: Set(storable(source)),
            row_offset: Set(bounded(row.offset)),
            reason: Set(storable(&row.reason)),
            raw: Set(storable(&row.raw)),
        });
        rejected_row::Entity::insert_many(rows)
            .on_conflict(
                OnConflict::columns([Source, RowOffset])
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

async fn move_cursor(
    transaction: &DatabaseTransaction,
    source: &str,
    next_offset: u64,
) -> Result<(), StoreError> {
    let next_offset = bounded(next_offset);
    let forward = OnConflict::column(cursor::Column::Source)
        .update_column(cursor::Column::NextOffset)
        .action_and_where(Expr::col((cursor::Entity, cursor::Column::NextOffset)).lt(next_offset))
        .to_owned();
    let cursor = cursor::ActiveModel {
        source: Set(storable(source)),
        next_offset: Set(next_offset),
    };
    cursor::Entity::insert(cursor)
        .on_conflict(forward)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}
