//! Why the store could not do what it was asked.

use sea_orm::DbErr;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database answered with an error, or not at all.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// A transaction took longer than it may.
    #[error("the transaction took longer than {0:?}")]
    TimedOut(std::time::Duration),
    /// What the database holds is not what was put there.
    #[error("call {0} is damaged in the database: {1}")]
    Damaged(uuid::Uuid, &'static str),
}
