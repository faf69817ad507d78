//! What a message asks for (`celery/worker/request.py`).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Body, Headers, Message};
use crate::value::DecodeError;

/// A message as the worker holds it: where it came from and what it says.
/// As `celery.worker.request.Request`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The message.
    pub message: Message,
    /// Arguments and what follows.
    pub body: Body,
    /// The queue that it was fetched from.
    pub queue: Arc<str>,
    /// Nodename of the worker that runs it.
    pub hostname: Arc<str>,
    /// Not before.
    pub eta: Option<DateTime<Utc>>,
    /// Not after.
    pub expires: Option<DateTime<Utc>>,
}

impl Request {
    /// Reads everything that the worker must know before it decides.
    pub(crate) fn new(
        mut message: Message,
        accept: &[String],
        queue: Arc<str>,
        hostname: Arc<str>,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            body: message.decode_body(accept)?,
            eta: message.headers.eta()?,
            expires: message.headers.expires()?,
            message,
            queue,
            hostname,
        })
    }

    /// The same of a message that cannot be run, with what can be read of it.
    pub(crate) fn refused(
        mut message: Message,
        accept: &[String],
        queue: Arc<str>,
        hostname: Arc<str>,
    ) -> Self {
        Self {
            body: message.decode_body(accept).unwrap_or_default(),
            eta: None,
            expires: None,
            message,
            queue,
            hostname,
        }
    }

    /// The message's headers.
    pub fn headers(&self) -> &Headers {
        &self.message.headers
    }
}

/// What a new-style errback is told of the task that failed: its first
/// argument. As the `request` that Celery hands to it, in JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FailedRequest {
    /// The task's id.
    pub id: String,
    /// Its name.
    pub task: String,
    /// Its positional arguments.
    #[serde(default)]
    pub args: Vec<Value>,
    /// Its keyword arguments.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
    /// How often it was retried.
    #[serde(default)]
    pub retries: u32,
    /// The first task of its workflow.
    #[serde(default)]
    pub root_id: Option<String>,
    /// The task that sent it.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// The group that it is a member of.
    #[serde(default)]
    pub group: Option<String>,
}

impl From<&Request> for FailedRequest {
    fn from(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            id: headers.id.clone(),
            task: headers.task.clone(),
            args: request.body.args.clone(),
            kwargs: request.body.kwargs.clone(),
            retries: headers.retries,
            root_id: headers.root_id.clone(),
            parent_id: headers.parent_id.clone(),
            group: headers.group.clone(),
        }
    }
}
