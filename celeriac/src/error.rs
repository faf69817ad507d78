//! What can go wrong between Celeriac and the world.

use std::path::PathBuf;
use std::time::Duration;

use crate::canvas::CanvasError;
use crate::failure::{Failure, TaskFailed};
pub use crate::fault::{Cause, Fault};
use crate::value::{DecodeError, repr};

/// An operation's failure. A task's own failure is a [`Failure`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address is not one that Celeriac can use.
    #[error("cannot use {role} {url}: {reason}")]
    Url {
        /// `broker_url` or `result_backend`.
        role: &'static str,
        /// The address without its password.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The broker or the result backend cannot be reached, or refuses.
    #[error(transparent)]
    Connection(#[from] Fault),
    /// A message or a result is not what it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A value cannot be written as JSON, or read from it.
    #[error("cannot convert a value: {0}")]
    Json(#[from] serde_json::Error),
    /// The canvas cannot be sent.
    #[error(transparent)]
    Canvas(#[from] CanvasError),
    /// A queue is named that is not to be made by naming it.
    #[error(transparent)]
    QueueNotFound(#[from] QueueNotFound),
    /// The system refuses something: a file, a thread, a signal.
    #[error("{what}: {source}")]
    Io {
        /// What could not be done.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The worker's state, `worker_state_db`, can be neither read nor written.
    #[error("worker_state_db {path}: {reason}", path = .path.display())]
    StateDb {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The result backend, or the broker, is of a kind that cannot do this.
    #[error("{url} cannot {what}")]
    Unsupported {
        /// Its address, without its password.
        url: String,
        /// What it would have to do.
        what: &'static str,
    },
    /// No result is kept.
    #[error("no result backend is configured (result_backend)")]
    NoResultBackend,
    /// No Redis takes a result of this size.
    #[error("value too large for Redis backend")]
    ResultTooLarge,
    /// A result did not come in time. As Celery's `TimeoutError`.
    #[error("no result after {0:?}")]
    Timeout(Duration),
    /// The worker was told to end at once.
    #[error("cold shutdown: what was running has been cut off")]
    ColdShutdown,
    /// The awaited task failed.
    #[error(transparent)]
    TaskFailed(#[from] Box<TaskFailed>),
}

impl Error {
    /// What becomes of the system's refusal to do `what`.
    pub(crate) fn io<S: Into<String>>(what: S) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether it may be otherwise in a while, nobody doing anything here: the
    /// server is away, busy, full, or about to hand over. What does *not* pass
    /// is the same at the next attempt: a value that is too large, a command
    /// that is not permitted, an answer that nobody can read. Whoever tries
    /// again asks this first, and tells those who wait if it does not pass.
    pub fn passes(&self) -> bool {
        match self {
            Self::Connection(fault) => fault.cause().passes(),
            Self::Timeout(_) => true,
            _ => false,
        }
    }
}

impl Error {
    /// The Python class that stands for it where it becomes a task's failure.
    pub(crate) fn python_class(&self) -> &'static str {
        match self {
            Self::Connection(fault) => fault.cause().python_class(),
            Self::ResultTooLarge => "celery.exceptions.BackendStoreError",
            Self::QueueNotFound(_) => "celery.exceptions.QueueNotFound",
            _ => "RuntimeError",
        }
    }
}

impl Error {
    /// Whether a connection that there was turned out to be lost.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Connection(fault) if fault.cause().is_loss())
    }

    /// Whether a server is there and says no; else it is away.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Connection(fault) if fault.cause().is_refusal())
    }
}

impl Failure {
    /// What stands for a Rust error: a `RuntimeError`, its causes the traceback;
    /// for one of Celeriac's own, what Celery raises then.
    pub(crate) fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let own = error.downcast_ref().map(Error::python_class);
        let mut causes = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push_str(&format!("  caused by: {cause}\n"));
            source = cause.source();
        }
        Self {
            traceback: Some(causes),
            ..Self::new(own.unwrap_or("RuntimeError"), error.to_string())
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(&error)
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or value in the file is wrong.
    #[error("{path}:{line}: {message}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value in the environment is wrong.
    #[error("environment variable {variable}: {message}")]
    Environment {
        /// The variable's name; its value may be secret.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A call or a worker names a queue that `task_queues` lacks, and
/// `task_create_missing_queues` is off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Queue {} missing from task_queues", repr::value(&.0.as_str().into()))]
pub struct QueueNotFound(pub String);

/// `url` without its password, as Celery's banner shows it.
pub(crate) fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = match rest.split_once('?') {
        Some((rest, query)) => format!("{rest}?{}", hidden(query)),
        None => rest.to_owned(),
    };
    match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:**@{host}")
        }
        None => format!("{scheme}://{rest}"),
    }
}

/// A query whose passwords are hidden: that of a socket is there.
fn hidden(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.contains("pass") => format!("{name}=**"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_are() {
        let cases = [
            ("redis://h/0", "redis://h/0"),
            ("redis://:secret@h:1/0", "redis://:**@h:1/0"),
            ("redis://u:se?cr@et@h/0?db=1", "redis://u:**@h/0?db=1"),
            (
                "redis+socket:///r.sock?db=1&pass=s@t",
                "redis+socket:///r.sock?db=1&pass=**",
            ),
            ("plain", "plain"),
        ];
        for (url, shown) in cases {
            assert_eq!(hide_password(url), shown);
        }
    }
}
