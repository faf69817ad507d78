//! Opening the database, SQLite or PostgreSQL, by its URL.

use std::path::Path;
use std::time::Duration;

use sea_orm_migration::sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm_migration::sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
};
use sea_orm_migration::sea_orm::sqlx::{ConnectOptions, Error};
use sea_orm_migration::sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

/// How long to wait for a free connection, or for the server to come up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where somebody waits who has less time.
const ALONE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a SQLite connection waits for another process's write to end.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite readers run side by side; one writer at a time is SQLite's own limit.
const SQLITE_CONNECTIONS: u32 = 8;
/// Well under a PostgreSQL server's default of 100, for a worker and an API beside others.
const POSTGRES_CONNECTIONS: u32 = 16;
/// What PostgreSQL enforces by itself, so that a lost client never holds a lock for long.
const POSTGRES_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "30s"),
];

/// Opens the database at `url`: `sqlite://PATH` (made when missing, its directories too) or
/// `postgres://USER:PASSWORD@HOST/DATABASE`.
///
/// # Errors
/// When the URL is of neither kind or the database cannot be reached. The message never holds
/// the URL, which may hold a password.
pub async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    match url.split(':').next() {
        Some("sqlite") => connect_sqlite(url).await,
        Some("postgres" | "postgresql") => connect_postgres(url).await,
        _ => Err(refused("the URL must begin with sqlite:// or postgres://")),
    }
}

/// One connection to the database at `url`, opened when it is needed.
///
/// # Errors
/// When the URL is of neither kind.
pub fn connect_alone(url: &str) -> Result<DatabaseConnection, DbErr> {
    match url.split(':').next() {
        Some("sqlite") => Ok(SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ALONE_TIMEOUT)
            .connect_lazy_with(sqlite(url)?)
            .into()),
        _ => Ok(PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ALONE_TIMEOUT)
            .connect_lazy_with(postgres(url)?)
            .into()),
    }
}

/// Begins a transaction; on SQLite as the one writer from the start (`BEGIN IMMEDIATE`), since
/// a reader that turns writer half-way fails when another has written in between.
///
/// # Errors
/// When no connection is free in time or, on SQLite, another writer does not end in time.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    db.begin_with_options(TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    })
    .await
}

async fn connect_sqlite(url: &str) -> Result<DatabaseConnection, DbErr> {
    let options = sqlite(url)?;
    make_directory(options.get_filename())?;
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(unreachable_database)?;
    Ok(pool.into())
}

async fn connect_postgres(url: &str) -> Result<DatabaseConnection, DbErr> {
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(postgres(url)?)
        .await
        .map_err(unreachable_database)?;
    Ok(pool.into())
}

fn sqlite(url: &str) -> Result<SqliteConnectOptions, DbErr> {
    let options: SqliteConnectOptions = url.parse().map_err(unreachable_database)?;
    // `synchronous` stays at its default, FULL: a task is acknowledged once its write is
    // committed, so a committed write must outlive a power cut.
    Ok(options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .disable_statement_logging())
}

fn postgres(url: &str) -> Result<PgConnectOptions, DbErr> {
    let options: PgConnectOptions = url.parse().map_err(unreachable_database)?;
    Ok(options
        .application_name("celeriac")
        .options(POSTGRES_TIMEOUTS)
        .disable_statement_logging())
}

fn make_directory(file: &Path) -> Result<(), DbErr> {
    let Some(directory) = file.parent().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(directory)
        .map_err(|error| refused(&format!("cannot make {}: {error}", directory.display())))
}

fn refused(why: &str) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(why.to_owned()))
}

fn unreachable_database(error: Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
