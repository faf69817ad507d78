//! Entities and queries of the call-analytics service; nobody else writes SQL.
//!
//! A task may be delivered twice, and two workers may hold the same call at once, so every write
//! here is idempotent and runs in one transaction: see [`Store::insert_page`] and
//! [`Store::record_insights`].

mod convert;
mod embedding;
mod entity;
mod error;
mod figures;
mod ingestion;
mod insights;
mod listing;
mod model;
mod settings;
mod similar;
mod transaction;

use std::sync::Arc;

use sea_orm::DatabaseConnection;
use tokio::sync::Mutex;

pub use error::StoreError;
pub use model::{
    Agent, Call, CallFilter, CallPage, Counts, Inserted, Insights, NewCall, Page, Recorded,
    RejectedRow,
};
pub use settings::StoreSettings;

/// A handle on the database; clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    /// The pool of connections, to SQLite or to PostgreSQL.
    db: DatabaseConnection,
    /// A connection for signs of life alone, which waits for nobody.
    pulse: DatabaseConnection,
    /// Held by the one SQLite transaction of this process that writes; unused on PostgreSQL.
    writing: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database at `url`: `sqlite://PATH`, made when missing, or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`. The schema is [`Store::migrate`]'s business.
    ///
    /// # Errors
    /// When the URL is of neither kind or the database cannot be reached; the message never
    /// holds the URL.
    pub async fn connect(url: &str) -> Result<Store, StoreError> {
        Ok(Store {
            db: migration::connect(url).await?,
            pulse: migration::connect_alone(url)?,
            writing: Arc::default(),
        })
    }

    /// Applies every pending migration; safe to call from several processes at once.
    ///
    /// # Errors
    /// When the database is away or refuses a statement.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(migration::up(&self.db).await?)
    }

    /// Asks the database for a sign of life, however much else it is asked for.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.pulse.ping().await?)
    }

    /// Closes the connections, of every clone; whatever is asked afterwards fails.
    ///
    /// # Errors
    /// When the database cannot be told.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.pulse.close_by_ref().await?;
        Ok(self.db.close_by_ref().await?)
    }
}

#[cfg(test)]
mod tests;
