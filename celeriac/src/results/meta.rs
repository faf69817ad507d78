//! What a result backend keeps of a task (`celery/backends/base.py`,
//! `_get_result_meta`).

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canvas::Signature;
use crate::message::{Headers, Request};
use crate::value::lenient::{name, text};

/// The names of states (`celery/states.py`).
pub mod states {
    /// Nothing is known of the task.
    pub const PENDING: &str = "PENDING";
    /// It is running.
    pub const STARTED: &str = "STARTED";
    /// It will be run again.
    pub const RETRY: &str = "RETRY";
    /// It failed.
    pub const FAILURE: &str = "FAILURE";
    /// It has a result.
    pub const SUCCESS: &str = "SUCCESS";
    /// It was revoked, or has expired.
    pub const REVOKED: &str = "REVOKED";

    /// Whether nothing more will happen. As `READY_STATES`.
    pub fn is_ready(state: &str) -> bool {
        matches!(state, SUCCESS | FAILURE | REVOKED)
    }

    /// Whether it takes down what depends on it. As `PROPAGATE_STATES`.
    pub fn is_failure(state: &str) -> bool {
        matches!(state, FAILURE | REVOKED)
    }

    /// Whether the result is an exception. As `EXCEPTION_STATES`.
    pub fn is_exception(state: &str) -> bool {
        matches!(state, RETRY | FAILURE | REVOKED)
    }
}

/// A task's state and result, in Celery's own field names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskMeta {
    /// One of [`states`], or a task's own.
    #[serde(deserialize_with = "name")]
    pub status: String,
    /// The value, or `exc_type`, `exc_message` and `exc_module`.
    pub result: Value,
    /// As Python prints it.
    #[serde(default, deserialize_with = "text")]
    pub traceback: Option<String>,
    /// What the task sent, as result tuples.
    #[serde(default)]
    pub children: Option<Vec<Value>>,
    /// When it ended (ISO 8601).
    #[serde(default, deserialize_with = "text")]
    pub date_done: Option<String>,
    /// The task's id.
    #[serde(default, deserialize_with = "name")]
    pub task_id: String,
    /// The rest: ids of group and parent, and `result_extended`'s fields.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl TaskMeta {
    /// The meta of a request that does not run.
    pub(crate) fn of_request(
        request: &Request,
        extended: bool,
        status: &str,
        result: Value,
        traceback: Option<String>,
    ) -> Self {
        Self {
            traceback,
            extra: extra(request, extended),
            ..Self::bare(&request.headers().id, status, result)
        }
    }

    /// The meta of a task that has not been sent, and will not be.
    pub(crate) fn of_signature(
        signature: &Signature,
        task_id: &str,
        extended: bool,
        status: &str,
        result: Value,
    ) -> Self {
        let options = &signature.options;
        let mut extra = ids(options.group_id.as_ref(), options.parent_id.as_ref());
        if extended {
            let fields = [
                ("name", signature.task.clone().into()),
                ("args", signature.args.clone().into()),
                ("kwargs", signature.kwargs.clone().into()),
                ("worker", Value::Null),
                ("retries", options.retries.unwrap_or_default().into()),
                ("queue", Value::Null),
            ];
            extra.extend(fields.map(|(name, value): (&str, Value)| (name.to_owned(), value)));
        }
        Self {
            extra,
            ..Self::bare(task_id, status, result)
        }
    }

    /// The meta of a task of which nothing but its id is known.
    pub(crate) fn bare(task_id: &str, status: &str, result: Value) -> Self {
        Self {
            status: status.to_owned(),
            result,
            traceback: None,
            children: Some(Vec::new()),
            date_done: states::is_ready(status).then(now),
            task_id: task_id.to_owned(),
            extra: Map::new(),
        }
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, false)
}

fn ids(group_id: Option<&String>, parent_id: Option<&String>) -> Map<String, Value> {
    let ids = [("group_id", group_id), ("parent_id", parent_id)];
    ids.into_iter()
        .filter_map(|(name, id)| Some((name.to_owned(), id?.clone().into())))
        .collect()
}

fn extra(request: &Request, extended: bool) -> Map<String, Value> {
    let headers = request.headers();
    let mut extra = ids(headers.group.as_ref(), headers.parent_id.as_ref());
    if extended {
        let fields = [
            ("name", headers.task.clone().into()),
            ("args", request.body.args.clone().into()),
            ("kwargs", request.body.kwargs.clone().into()),
            ("worker", (*request.hostname).into()),
            ("retries", headers.retries.into()),
            (
                "queue",
                request.message.delivery_info.routing_key.clone().into(),
            ),
        ];
        extra.extend(fields.map(|(name, value): (&str, Value)| (name.to_owned(), value)));
        extra.extend(stamps(headers));
    }
    extra
}

/// The stamps by their names, and the names.
fn stamps(headers: &Headers) -> Map<String, Value> {
    let (Some(stamps), Some(names)) = (&headers.stamps, &headers.stamped_headers) else {
        return Map::new();
    };
    let named = stamps.iter().filter(|(name, _)| names.contains(name));
    let mut shown: Map<_, _> = named
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !stamps.is_empty() {
        shown.insert("stamped_headers".to_owned(), names.clone().into());
    }
    shown
}
