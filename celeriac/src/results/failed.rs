//! What a client that waits is told of a failure.

use crate::task::Failure;

/// The awaited task did not succeed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{state}: {failure}")]
pub struct TaskFailed {
    /// `FAILURE` or `REVOKED`.
    pub state: String,
    /// The exception, by its Python name.
    pub failure: Failure,
    /// As the worker wrote it.
    pub traceback: Option<String>,
}
