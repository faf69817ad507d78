//! What a worker and its children say to each other: frames of JSON, and the
//! message of each run as it lay in its queue.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::super::Outcome;
use crate::canvas::Signature;
use crate::task::{Failure, Retry};

/// A child's first word: it can run tasks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {}

/// A run. Its message follows in a frame of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// The queue that the message was in.
    pub queue: String,
    /// The worker's nodename.
    pub hostname: String,
    /// The soft limit, seconds. The hard one is the worker's to keep.
    pub soft_limit: Option<f64>,
    /// The worker's logical time.
    pub clock: u64,
    /// What the task's messages say of its trace.
    pub trace: Map<String, Value>,
}

/// How a run ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub outcome: Told,
    /// Results of what the task has sent.
    pub children: Vec<Value>,
    /// What the child has in use now, KiB.
    pub memory: Option<u64>,
    /// Whether nothing of the run still goes on.
    pub over: bool,
    /// The child's logical time.
    pub clock: u64,
}

/// An [`Outcome`] that a run can have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Told {
    Success(Value),
    Failure(Raised),
    Retry(Again),
    Replace(Box<Signature>),
    Reject { reason: String, requeue: bool },
    Ignore,
}

/// A [`Failure`] with all that results leave out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Raised {
    exc_type: String,
    exc_module: String,
    exc_message: Vec<Value>,
    traceback: Option<String>,
    cause: Option<Box<Raised>>,
}

/// A [`Retry`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Again {
    eta: Option<DateTime<Utc>>,
    max_retries: Option<u32>,
    exc: Option<Raised>,
    args: Option<Vec<Value>>,
    kwargs: Option<Map<String, Value>>,
}

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success(value) => Self::Success(value),
            Outcome::Failure(failure) | Outcome::WorkerLost(failure) => {
                Self::Failure(failure.into())
            }
            Outcome::Retry(retry) => Self::Retry(retry.into()),
            Outcome::Replace(signature) => Self::Replace(signature),
            Outcome::Reject { reason, requeue } => Self::Reject { reason, requeue },
            // The last two are the worker's to find.
            Outcome::Ignore | Outcome::TimeLimitExceeded(_) | Outcome::Revoked(_) => Self::Ignore,
        }
    }
}

impl From<Told> for Outcome {
    fn from(told: Told) -> Self {
        match told {
            Told::Success(value) => Self::Success(value),
            Told::Failure(raised) => Self::Failure(raised.into()),
            Told::Retry(again) => Self::Retry(again.into()),
            Told::Replace(signature) => Self::Replace(signature),
            Told::Reject { reason, requeue } => Self::Reject { reason, requeue },
            Told::Ignore => Self::Ignore,
        }
    }
}

impl From<Failure> for Raised {
    fn from(failure: Failure) -> Self {
        Self {
            exc_type: failure.exc_type,
            exc_module: failure.exc_module,
            exc_message: failure.exc_message,
            traceback: failure.traceback,
            cause: failure.cause.map(|cause| Box::new(Self::from(*cause))),
        }
    }
}

impl From<Raised> for Failure {
    fn from(raised: Raised) -> Self {
        Self {
            exc_type: raised.exc_type,
            exc_module: raised.exc_module,
            exc_message: raised.exc_message,
            traceback: raised.traceback,
            cause: raised.cause.map(|cause| Box::new(Self::from(*cause))),
        }
    }
}

impl From<Retry> for Again {
    fn from(retry: Retry) -> Self {
        Self {
            eta: retry.eta,
            max_retries: retry.max_retries,
            exc: retry.exc.map(Raised::from),
            args: retry.args,
            kwargs: retry.kwargs,
        }
    }
}

impl From<Again> for Retry {
    fn from(again: Again) -> Self {
        Self {
            eta: again.eta,
            max_retries: again.max_retries,
            exc: again.exc.map(Failure::from),
            args: again.args,
            kwargs: again.kwargs,
        }
    }
}

/// One end of the socket pair between a worker and a child.
pub(super) struct Line(Framed<UnixStream, LengthDelimitedCodec>);

impl Line {
    pub fn new(socket: std::os::unix::net::UnixStream) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let codec = LengthDelimitedCodec::builder()
            .length_field_length(8)
            .max_frame_length(usize::MAX)
            .new_codec();
        Ok(Self(Framed::new(UnixStream::from_std(socket)?, codec)))
    }

    pub async fn send(&mut self, said: &impl Serialize) -> std::io::Result<()> {
        self.0.send(&serde_json::to_vec(said)?[..]).await
    }

    /// A run and its message.
    pub async fn send_run(&mut self, run: &Run, message: &[u8]) -> std::io::Result<()> {
        self.0.feed(&serde_json::to_vec(run)?[..]).await?;
        self.0.send(message).await
    }

    /// The next frame; `None` if the other side is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        Some(self.0.next().await?.ok()?.freeze())
    }

    /// The next frame, read. `None` if it cannot be, too: both sides are the
    /// same program.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Option<T> {
        serde_json::from_slice(&self.next().await?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives of an outcome.
    fn sent(outcome: Outcome) -> Result<Outcome, serde_json::Error> {
        let text = serde_json::to_vec(&Told::from(outcome))?;
        Ok(serde_json::from_slice::<Told>(&text)?.into())
    }

    #[test]
    fn an_outcome_arrives_as_it_was() -> Result<(), serde_json::Error> {
        let failure = Failure {
            traceback: Some("  caused by: x\n".to_owned()),
            cause: Some(Box::new(Failure::new("KeyError", "y"))),
            ..Failure::new("app.errors.Busy", 1.5)
        };
        let retry = Retry::after(std::time::Duration::from_millis(1500))
            .because(failure.clone())
            .args([1.into()]);
        let signature = Signature::new("tasks.add")
            .arg(2)
            .kwarg("y", 3)
            .queue("math");
        for outcome in [
            Outcome::Success(serde_json::json!({"a": [1, null, 0.1]})),
            Outcome::Failure(failure),
            Outcome::Retry(retry),
            Outcome::Replace(Box::new(signature)),
            Outcome::Reject {
                reason: "no".to_owned(),
                requeue: true,
            },
            Outcome::Ignore,
        ] {
            assert_eq!(sent(outcome.clone())?, outcome);
        }
        Ok(())
    }
}
