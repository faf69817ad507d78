//! What `#[celeriac::task]` writes of a function, and what that needs.

use std::future::{Future, pending};
use std::panic::resume_unwind;

use serde::Serialize;
use serde_json::Value;

use super::given::encoded;
use super::{Context, Invocation, Parameters, TaskError, TaskOptions};

/// A function as a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task",
    note = "a function becomes one with `#[celeriac::task]`"
)]
pub trait Define: Sized + 'static {
    /// What it returns when it succeeds.
    type Output;
    /// Its documentation.
    const DOC: &'static str;
    /// Whether it knows its request. As `bind=True`.
    const BOUND: bool;

    /// The name that messages call it by.
    fn name() -> String;

    /// What it takes.
    fn parameters() -> Parameters;

    /// Its options.
    fn options() -> TaskOptions;

    /// Runs it once.
    fn run(invocation: Invocation) -> impl Future<Output = Result<Value, TaskError>> + Send;
}

/// What a task's function can return.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    note = "it returns a `Result` of what serde can write and an error: `Result<i64, TaskError>`"
)]
pub trait Returned {
    /// What it returns when it succeeds.
    type Value: Serialize;

    /// How the run ends.
    fn into_result(self) -> Result<Self::Value, TaskError>;
}

impl<T: Serialize, E: Into<TaskError>> Returned for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, TaskError> {
        self.map_err(Into::into)
    }
}

/// What a function returned, as the worker stores it.
pub fn returned(returned: impl Returned) -> Result<Value, TaskError> {
    encoded(&returned.into_result()?)
}

/// Runs a function that blocks on a thread of its own, with [`Context::current`].
/// Nothing can interrupt it: when a time limit strikes, its slot is given to
/// others, and what it returns then is thrown away.
pub async fn blocking<R: Send + 'static>(
    context: Context,
    run: impl FnOnce() -> R + Send + 'static,
) -> R {
    let ended = tokio::task::spawn_blocking(move || context.scope_blocking(run)).await;
    match ended.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(returned) => returned,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime ends, and this with it.
        Err(Err(_)) => pending().await,
    }
}
