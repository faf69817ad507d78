//! What is done round a task's function, in the process that runs it.

use async_trait::async_trait;
use serde_json::Value;

use super::TaskError;
use super::handler::{Body, Invocation};

/// Wraps a task's function, as a layer of `tower` wraps a service: of one task,
/// by [`Task::layer`], or of all of a worker, by [`Worker::layer`]. It may look
/// at the call, change it, end it, run it within something else, and look at
/// what it returned. It counts as a part of the run: for its time limits, its
/// slot, and its retries. As `Task.__call__` overridden in Python.
///
/// A session of a database for each run, which the function takes as
/// [`State`](super::State):
///
/// ```
/// use std::sync::Arc;
/// use celeriac::task::{Invocation, Layer, Next, State, TaskError, Value, async_trait};
///
/// # struct Database; struct Session;
/// # impl Database { async fn begin(&self) -> Result<Session, TaskError> { Ok(Session) } }
/// # impl Session {
/// #     async fn commit(&self) -> Result<(), TaskError> { Ok(()) }
/// #     async fn roll_back(&self) -> Result<(), TaskError> { Ok(()) }
/// # }
/// struct InTransaction(Database);
///
/// #[async_trait]
/// impl Layer for InTransaction {
///     async fn call(&self, call: Invocation, next: Next) -> Result<Value, TaskError> {
///         let session = Arc::new(self.0.begin().await?);
///         call.context.insert(Arc::clone(&session));
///         let result = next.run(call).await;
///         match &result {
///             Ok(_) => session.commit().await?,
///             Err(_) => session.roll_back().await?,
///         }
///         result
///     }
/// }
///
/// #[celeriac::task]
/// async fn order(State(session): State<Session>, item: String) -> Result<(), TaskError> {
///     // …
///     Ok(())
/// }
/// # let _ = order::task().layer(InTransaction(Database));
/// ```
///
/// [`Task::layer`]: super::Task::layer
/// [`Worker::layer`]: crate::Worker::layer
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// Runs the function with `next`, or does not.
    ///
    /// # Errors
    /// The run ends with it.
    async fn call(&self, call: Invocation, next: Next) -> Result<Value, TaskError>;
}

/// What a [`Layer`] wraps: the next layer, or the function itself.
pub struct Next(pub(super) Body);

impl Next {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the function, and of the layers inside.
    pub async fn run(self, call: Invocation) -> Result<Value, TaskError> {
        (self.0)(call).await
    }
}
