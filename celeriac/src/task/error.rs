//! How a run ends other than by a result.

use super::Retry;
use crate::canvas::Signature;
use crate::failure::Failure;

/// How a task ends if not with a value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TaskError {
    /// It failed.
    Failure(Failure),
    /// It is to be run again. As `self.retry()`.
    Retry(Box<Retry>),
    /// Something else is to run in its place. As `self.replace()`.
    Replace(Box<Signature>),
    /// The message is refused. As `celery.exceptions.Reject`.
    Reject {
        /// Why.
        reason: String,
        /// Whether it goes back to its queue.
        requeue: bool,
    },
    /// Nothing is to be stored. As `celery.exceptions.Ignore`.
    Ignore,
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Retry> for TaskError {
    fn from(retry: Retry) -> Self {
        Self::Retry(Box::new(retry))
    }
}

/// Any Rust error is a `RuntimeError`, its causes the traceback; one of
/// Celeriac's own is what Celery raises then.
impl<E: std::error::Error + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::Failure(Failure::from_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn an_error_of_celeriacs_own_is_what_celery_raises() {
        fn send() -> Result<(), Error> {
            Err(crate::error::QueueNotFound("away".to_owned()).into())
        }
        fn task() -> Result<(), TaskError> {
            Ok(send()?)
        }
        let class = |error| match error {
            TaskError::Failure(failure) => failure.class(),
            other => format!("{other:?}"),
        };
        let own = task().map_err(class);
        assert_eq!(own, Err("celery.exceptions.QueueNotFound".to_owned()));
        let other = TaskError::from(std::io::Error::other("no"));
        assert_eq!(class(other), "RuntimeError");
    }
}
