//! What a worker and its children say to each other: frames of JSON, and the
//! message of each run as it lay in its queue.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::super::Outcome;
use crate::message::Message;
use crate::value::json;

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
    pub outcome: Outcome,
    /// Results of what the task has sent.
    pub children: Vec<Value>,
    /// What the child has in use now, KiB.
    pub memory: Option<u64>,
    /// Whether nothing of the run still goes on.
    pub over: bool,
    /// The child's logical time.
    pub clock: u64,
}

/// To a child that runs a task: its soft limit is here. No other frame is empty.
const STRIKE: &[u8] = b"";

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
        self.0.send(&json::to_vec(said)?[..]).await
    }

    /// A run and its message.
    pub async fn send_run(&mut self, run: &Run, message: &Message) -> std::io::Result<()> {
        self.0.feed(&json::to_vec(run)?[..]).await?;
        self.send(message).await
    }

    /// Says that the soft limit of what runs is here.
    pub async fn strike(&mut self) -> std::io::Result<()> {
        self.0.send(STRIKE).await
    }

    /// The next run. A strike that came too late for the last one is passed over.
    pub async fn receive_run(&mut self) -> Option<Run> {
        loop {
            let frame = self.next().await?;
            if *frame != *STRIKE {
                return json::from_slice(&frame).ok();
            }
        }
    }

    /// The next frame; `None` if the other side is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        Some(self.0.next().await?.ok()?.freeze())
    }

    /// The next frame, read. `None` if it cannot be, too: both sides are the
    /// same program.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Option<T> {
        json::from_slice(&self.next().await?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::Signature;
    use crate::task::{Failure, Retry};

    /// What arrives of an outcome.
    fn sent(outcome: &Outcome) -> Result<Outcome, serde_json::Error> {
        serde_json::from_slice(&serde_json::to_vec(&outcome)?)
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
            Outcome::Retry(Box::new(retry)),
            Outcome::Replace(Box::new(signature)),
            Outcome::Reject {
                reason: "no".to_owned(),
                requeue: true,
            },
            Outcome::Ignore,
        ] {
            assert_eq!(sent(&outcome)?, outcome);
        }
        Ok(())
    }
}
