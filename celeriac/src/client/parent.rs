//! The task that is running where something is sent: what is sent is its child.

use std::sync::Arc;

use serde_json::Value;

use super::Lineage;
use crate::canvas::Plan;
use crate::error::Error;

tokio::task_local! {
    static RUNNING: Arc<dyn Parent>;
}

/// A running task, as those see it who send.
pub(crate) trait Parent: Send + Sync {
    /// Says of the tasks to be sent what their registration here says and
    /// their senders do not. As `Task.apply_async`.
    ///
    /// # Errors
    /// [`Error::Canvas`] if a task's soft limit is beyond its hard one.
    fn complete(&self, plan: &mut Plan) -> Result<(), Error>;

    /// What a child of this task inherits.
    fn lineage(&self) -> Lineage;

    /// Has its result list these children, given as result tuples.
    fn add(&self, children: Vec<Value>);
}

/// The task that is running here.
pub(super) fn current() -> Option<Arc<dyn Parent>> {
    RUNNING.try_with(Arc::clone).ok()
}

/// Runs `future` as a part of this task.
pub(crate) async fn scope<F: Future>(parent: impl Parent + 'static, future: F) -> F::Output {
    RUNNING.scope(Arc::new(parent), future).await
}

/// Runs a function that blocks as a part of this task.
pub(crate) fn scope_blocking<R>(parent: impl Parent + 'static, run: impl FnOnce() -> R) -> R {
    RUNNING.sync_scope(Arc::new(parent), run)
}
