//! Why the store could not do what it was asked.

use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database answered with an error, or not at all.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// A transaction took longer than it may, and was rolled back.
    #[error("the transaction took longer than {0:?}")]
    TimedOut(Duration),
    /// What the database holds is not what was put there.
    #[error("call {0} is damaged in the database: {1}")]
    Damaged(uuid::Uuid, &'static str),
    /// A number that no average can bear, such as NaN.
    #[error("{0} of call {1} is not a finite number")]
    NotFinite(&'static str, uuid::Uuid),
}

impl StoreError {
    /// Whether the database cannot be reached or has no room for us now, so that the same request
    /// may well succeed later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            StoreError::TimedOut(_) | StoreError::Database(DbErr::ConnectionAcquire(_)) => true,
            StoreError::Database(DbErr::Conn(_)) => true,
            StoreError::Database(
                DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => match error.as_database_error() {
                Some(error) => error.code().is_some_and(|code| is_absence_code(&code)),
                None => matches!(**error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed),
            },
            _ => false,
        }
    }

    /// Whether the transaction only lost a race for a lock, so that it may win the next one.
    pub(crate) fn is_conflict(&self) -> bool {
        let StoreError::Database(
            DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error))
            | DbErr::Conn(RuntimeErr::SqlxError(error)),
        ) = self
        else {
            return false;
        };
        error
            .as_database_error()
            .and_then(|error| error.code())
            .is_some_and(|code| is_lock_code(&code))
    }
}

/// PostgreSQL: serialization failure, deadlock, lock not available. SQLite: busy (5) and locked
/// (6), whose extended codes carry the same number in their lowest byte.
fn is_lock_code(code: &str) -> bool {
    match code.len() {
        5 => matches!(code, "40001" | "40P01" | "55P03"),
        _ => matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(5 | 6)),
    }
}

/// PostgreSQL: the classes of connection failures (08), of a server that has no room (53) or is
/// shutting down (57). SQLite: busy, locked, input/output error (10), disk full (13), cannot open
/// the file (14).
fn is_absence_code(code: &str) -> bool {
    match code.len() {
        5 => matches!(code.get(..2), Some("08" | "53" | "57")),
        _ => matches!(
            code.parse::<u32>().map(|code| code & 0xff),
            Ok(5 | 6 | 10 | 13 | 14)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_conflicts_are_told_from_other_errors() {
        for code in ["5", "6", "261", "517", "773", "40001", "40P01", "55P03"] {
            assert!(is_lock_code(code), "{code}");
        }
        for code in ["1", "19", "2067", "787", "23505", "42P01", "22021", ""] {
            assert!(!is_lock_code(code), "{code}");
        }
    }
}
