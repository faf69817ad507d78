//! Results: what is stored about a task, and how a client waits for it.
//!
//! - [`ResultStore`]: a backend; [`Lookup`], [`ChordStore`], [`GroupStore`]: what
//!   only some can
//! - [`chord`]: how chords are counted
//! - [`TaskMeta`]: what it keeps of a task, in Celery's shape
//! - [`Codec`]: how it is stored

pub mod chord;
mod codec;
mod meta;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::error::Error;

pub use chord::ChordStore;
pub use codec::Codec;
pub use meta::{TaskMeta, states};

/// A result backend. As `celery.backends.base.Backend`. What not every backend
/// can do, it is asked for.
#[async_trait]
pub trait ResultStore: Send + Sync {
    /// Stores `meta` and tells who waits for it. A success that is already
    /// there stays. When it returns, the store has it.
    async fn store(&self, meta: &TaskMeta) -> Result<(), Error>;

    /// Waits until a task has ended.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it has not in time.
    async fn wait(&self, task_id: &str, timeout: Duration) -> Result<TaskMeta, Error>;

    /// Asks the backend whether it is there, on a connection of its own.
    async fn ping(&self) -> Result<(), Error>;

    /// Finds results by the ids of their tasks.
    fn lookup(&self) -> Option<&dyn Lookup> {
        None
    }

    /// Counts the members of chords.
    fn chords(&self) -> Option<&dyn ChordStore> {
        None
    }

    /// Keeps the results of groups.
    fn groups(&self) -> Option<&dyn GroupStore> {
        None
    }
}

/// A backend that finds results by the ids of their tasks.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// What is known of a task.
    async fn get(&self, task_id: &str) -> Result<Option<TaskMeta>, Error>;

    /// Removes what is known of a task.
    async fn forget(&self, task_id: &str) -> Result<(), Error>;
}

/// A backend that keeps the results of groups by the groups' ids, as result
/// tuples. As `Backend.save_group` and what goes with it.
#[async_trait]
pub trait GroupStore: Send + Sync {
    /// Keeps them.
    async fn save_group(&self, group_id: &str, tuple: &Value) -> Result<(), Error>;

    /// What was kept.
    async fn restore_group(&self, group_id: &str) -> Result<Option<Value>, Error>;

    /// Removes it.
    async fn forget_group(&self, group_id: &str) -> Result<(), Error>;
}
