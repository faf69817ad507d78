//! The schema of the call-analytics service, and how its database is opened.
//!
//! Each migration is one module; [`up`], [`down`] and [`status`] run them, on SQLite and on
//! PostgreSQL alike, in one transaction that only one process at a time can be in.

mod database;
mod m0001_agents_and_calls;
mod m0002_full_text;
mod m0003_ingestion;

use sea_orm_migration::MigrationStatus;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseConnection, DatabaseTransaction, DbBackend};

pub use database::{begin, connect, connect_alone};

/// An arbitrary but fixed number: the PostgreSQL advisory lock that migrations are run under.
const MIGRATION_LOCK: i64 = 0x00ce_1e71_ac00;

/// The migrations, oldest first.
struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_agents_and_calls::Migration),
            Box::new(m0002_full_text::Migration),
            Box::new(m0003_ingestion::Migration),
        ]
    }
}

/// Applies every pending migration; does nothing when there is none.
///
/// # Errors
/// When the database is away or refuses a statement; nothing is applied then.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = locked(db).await?;
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Takes back the newest `steps` migrations, or all of them, with the data in their tables.
///
/// # Errors
/// When the database is away or refuses a statement; nothing is taken back then.
pub async fn down(db: &DatabaseConnection, steps: Option<u32>) -> Result<(), DbErr> {
    let transaction = locked(db).await?;
    Migrator::down(&transaction, steps).await?;
    transaction.commit().await
}

/// Every migration's name, oldest first, and whether it is applied. Changes nothing.
///
/// # Errors
/// When the database is away, or has a migration that this program does not know.
pub async fn status(db: &DatabaseConnection) -> Result<Vec<(String, bool)>, DbErr> {
    let migrations = Migrator::get_migration_with_status_read_only(db).await?;
    Ok(migrations
        .iter()
        .map(|m| (m.name().to_owned(), m.status() == MigrationStatus::Applied))
        .collect())
}

/// A transaction in which no other process can migrate, and which may take its time.
async fn locked(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let transaction = begin(db).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        let sql = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SELECT pg_advisory_xact_lock({MIGRATION_LOCK});"
        );
        transaction.execute_unprepared(&sql).await?;
    }
    Ok(transaction)
}

#[cfg(test)]
mod tests;
