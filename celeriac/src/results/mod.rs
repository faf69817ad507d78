//! Results: what is stored about a task, and how a client waits for it.
//!
//! - [`ResultStore`]: a backend; [`chord`]: how it counts chords
//! - [`TaskMeta`]: what it keeps of a task, in Celery's shape
//! - [`Codec`]: how it is stored
//! - [`TaskFailed`]: what a client that waits is told of a failure

pub mod chord;
mod codec;
mod failed;
mod meta;

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Error;

pub use chord::ChordStore;
pub use codec::Codec;
pub use failed::TaskFailed;
pub use meta::{TaskMeta, states};

/// A result backend. As `celery.backends.base.Backend`.
#[async_trait]
pub trait ResultStore: ChordStore {
    /// Stores `meta` and tells who waits for it. A success that is already
    /// there stays. When it returns, the store has it.
    async fn store(&self, meta: &TaskMeta) -> Result<(), Error>;

    /// What is known of a task.
    async fn get(&self, task_id: &str) -> Result<Option<TaskMeta>, Error>;

    /// Waits until a task has ended.
    async fn wait(&self, task_id: &str, timeout: Duration) -> Result<TaskMeta, Error>;

    /// Asks the backend whether it is there, on a connection of its own.
    async fn ping(&self) -> Result<(), Error>;

    /// Removes what is known of a task.
    async fn forget(&self, task_id: &str) -> Result<(), Error>;
}
