//! What there is to tell about a task.

use serde::Serialize;

use crate::message::Request;

/// What has become of a request. The fields are those that Celery sends, in
/// its order; texts are what Python would print.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum TaskEvent {
    /// A worker has it.
    #[serde(skip)]
    Received,
    /// It runs.
    Started {},
    /// It returned a value.
    Succeeded {
        /// The value's `repr`.
        result: String,
        /// Seconds.
        runtime: f64,
    },
    /// It raised an exception.
    Failed {
        /// The exception's `repr`.
        exception: String,
        /// As Python prints it. Left out for a task that nobody knows.
        #[serde(skip_serializing_if = "Option::is_none")]
        traceback: Option<String>,
    },
    /// Its message was refused.
    Rejected {
        /// Whether it goes back to its queue.
        requeue: bool,
    },
    /// It will not run, or was ended.
    Revoked {
        /// Whether it was running.
        terminated: bool,
        /// The signal that would have ended it.
        signum: Option<i32>,
        /// Whether it came too late.
        expired: bool,
    },
    /// A cold shutdown has cut it off.
    Cancelled {},
    /// It will run again.
    Retried {
        /// The cause's `repr`.
        exception: String,
        /// As Python prints it.
        traceback: String,
    },
}

impl TaskEvent {
    /// Its type: `task-received`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Received => "task-received",
            Self::Started {} => "task-started",
            Self::Succeeded { .. } => "task-succeeded",
            Self::Failed { .. } => "task-failed",
            Self::Rejected { .. } => "task-rejected",
            Self::Revoked { .. } => "task-revoked",
            Self::Cancelled {} => "task-cancelled",
            Self::Retried { .. } => "task-retried",
        }
    }
}

/// The fields of an event that tells of a request.
#[derive(Serialize)]
pub(super) struct About<'a> {
    uuid: &'a str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Received(Received<'a>),
    Other(&'a TaskEvent),
}

#[derive(Serialize)]
struct Received<'a> {
    name: &'a str,
    args: Option<&'a str>,
    kwargs: Option<&'a str>,
    root_id: Option<&'a str>,
    parent_id: Option<&'a str>,
    retries: u32,
    eta: Option<String>,
    expires: Option<String>,
}

impl<'a> About<'a> {
    pub fn new(request: &'a Request, event: &'a TaskEvent) -> Self {
        let what = match event {
            TaskEvent::Received => What::Received(Received::of(request)),
            event => What::Other(event),
        };
        Self {
            uuid: &request.headers().id,
            what,
        }
    }
}

impl<'a> Received<'a> {
    fn of(request: &'a Request) -> Self {
        let headers = request.headers();
        let [eta, expires] = headers.times(chrono_tz::UTC);
        let shadow = headers.shadow.as_deref().filter(|name| !name.is_empty());
        Self {
            name: shadow.unwrap_or(&headers.task),
            args: headers.argsrepr.as_deref(),
            kwargs: headers.kwargsrepr.as_deref(),
            root_id: headers.root_id.as_deref(),
            parent_id: headers.parent_id.as_deref(),
            retries: headers.retries,
            eta,
            expires,
        }
    }
}
