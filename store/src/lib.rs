//! Entities and queries of the call-analytics service; nobody else writes SQL.

mod error;
mod model;
mod settings;

use sea_orm::DatabaseConnection;
use uuid::Uuid;

pub use error::StoreError;
pub use model::{
    Agent, Call, CallFilter, CallPage, Counts, Inserted, Insights, NewCall, Page, Recorded,
    RejectedRow,
};
pub use settings::StoreSettings;

/// A handle on the database; clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    #[allow(dead_code)]
    db: DatabaseConnection,
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Store {
    pub async fn connect(url: &str) -> Result<Store, StoreError> {
        todo!()
    }
    pub async fn migrate(&self) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn cursor(&self, source: &str) -> Result<u64, StoreError> {
        todo!()
    }
    pub async fn insert_page(&self, page: &Page) -> Result<Inserted, StoreError> {
        todo!()
    }
    pub async fn pending(&self, limit: u64) -> Result<Vec<NewCall>, StoreError> {
        todo!()
    }
    pub async fn mark_queued(&self, ids: &[Uuid]) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn record_insights(
        &self,
        call: &NewCall,
        insights: &Insights,
    ) -> Result<Recorded, StoreError> {
        todo!()
    }
    pub async fn calls(&self, filter: &CallFilter) -> Result<CallPage, StoreError> {
        todo!()
    }
    pub async fn call(&self, id: Uuid) -> Result<Option<Call>, StoreError> {
        todo!()
    }
    pub async fn similar(&self, id: Uuid, limit: usize) -> Result<Vec<Call>, StoreError> {
        todo!()
    }
    pub async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        todo!()
    }
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        todo!()
    }
}
