//! Tasks that must not run: revoke, terminate, revoke_by_stamped_headers,
//! revoked.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use chrono::Utc;
use futures::StreamExt;
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use super::command::{Answer, Arguments, Refusal, text_of};
use crate::error::Error;
use crate::results::{ResultStore, TaskMeta, states};
use crate::task::Failure;
use crate::value::isoformat;
use crate::value::repr;
use crate::worker::Shared;
use crate::worker::requests::{Held, Stage};
use crate::worker::revoked::matching_stamps;

/// States that are stored at once.
const AT_ONCE: usize = 64;
/// States of a task that nobody has begun yet.
const NOT_BEGUN: [&str; 4] = [states::PENDING, "RECEIVED", states::RETRY, "REJECTED"];

pub(super) fn revoke(shared: &Arc<Shared>, arguments: &Arguments) -> Result<Answer, Refusal> {
    arguments.required("task_id")?;
    let signal = arguments.get("signal");
    revoke_ids(shared, arguments, arguments.flag("terminate"), signal)
}

pub(super) fn terminate(shared: &Arc<Shared>, arguments: &Arguments) -> Result<Answer, Refusal> {
    let signal = arguments.required("signal")?;
    arguments.required("task_id")?;
    revoke_ids(shared, arguments, true, Some(signal))
}

fn revoke_ids(
    shared: &Arc<Shared>,
    arguments: &Arguments,
    terminate: bool,
    signal: Option<&Value>,
) -> Result<Answer, Refusal> {
    let mut ids = arguments.texts("task_id");
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    shared.revoked.add(&ids);
    let held = shared.requests.matching(|held| seen.contains(held.id()));
    held.iter().for_each(Held::revoke);
    let answer = if terminate {
        terminated(&held, signum(signal)?)
    } else {
        tracing::info!("Tasks flagged as revoked: {}", ids.join(", "));
        format!("tasks {} flagged as revoked", repr::set(&ids))
    };
    // What is held tells its own end.
    ids.retain(|id| !held.iter().any(|held| held.id() == id));
    let shared = Arc::clone(shared);
    Ok(Answer::Later(Box::pin(async move {
        if let Some(store) = shared.app.result_store() {
            mark_as_revoked(store, ids).await;
        }
        json!({"ok": answer})
    })))
}

fn terminated(held: &[Held], signum: i32) -> String {
    for held in held {
        tracing::info!("Terminating {} ({signum})", held.id());
        held.terminate(signum);
    }
    let mut ids: Vec<&str> = held.iter().map(Held::id).collect();
    ids.dedup();
    match ids.as_slice() {
        [] => "terminate: tasks unknown".to_owned(),
        ids => format!("terminate: {}", ids.join(", ")),
    }
}

/// A signal by its number or by its name, with or without `SIG`.
fn signum(signal: Option<&Value>) -> Result<i32, Refusal> {
    let name = match signal {
        None | Some(Value::Null) => return Ok(Signal::SIGTERM as i32),
        Some(Value::Number(number)) => {
            return number
                .as_i64()
                .and_then(|number| number.try_into().ok())
                .ok_or_else(|| {
                    Refusal::python("TypeError", "signal name must be uppercase string.")
                });
        }
        Some(other) => &*text_of(other).unwrap_or_default(),
    };
    let whole = match name.starts_with("SIG") {
        true => name.to_owned(),
        false => format!("SIG{name}"),
    };
    Signal::from_str(&whole)
        .map(|signal| signal as i32)
        .map_err(|_| {
            let text = format!("module 'signal' has no attribute '{whole}'");
            Refusal::python("AttributeError", &text)
        })
}

/// Stores that tasks which nobody has begun are revoked.
async fn mark_as_revoked(store: &Arc<dyn ResultStore>, ids: Vec<String>) {
    let marks = futures::stream::iter(ids).map(|id| {
        let store = Arc::clone(store);
        async move {
            if let Err(error) = mark(&*store, &id).await {
                tracing::warn!("cannot store that task {id} is revoked: {error}");
            }
        }
    });
    marks.buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn mark(store: &dyn ResultStore, id: &str) -> Result<(), Error> {
    let known = match store.lookup() {
        Some(lookup) => lookup.get(id).await?,
        None => None,
    };
    if known.is_some_and(|meta| !NOT_BEGUN.contains(&meta.status.as_str())) {
        return Ok(());
    }
    let revoked = Failure::new("celery.exceptions.TaskRevokedError", "revoked");
    store
        .store(&TaskMeta {
            status: states::REVOKED.to_owned(),
            result: revoked.to_meta(),
            traceback: None,
            children: None,
            date_done: Some(isoformat(&Utc::now())),
            task_id: id.to_owned(),
            extra: Map::new(),
        })
        .await
}

pub(super) fn by_stamped_headers(
    shared: &Shared,
    arguments: &Arguments,
) -> Result<Answer, Refusal> {
    let signum = signum(arguments.get("signal"))?;
    let headers = headers(arguments.required("headers")?)?;
    for (header, stamps) in &headers {
        shared.revoked.add_stamps(header, list(stamps));
    }
    // What is laid aside is read here, and not while the table is locked.
    let held = shared.requests.matching(|_| true);
    let covered = |held: &&Held| shared.revoked.covers(&held.request());
    held.iter().filter(covered).for_each(Held::revoke);
    let shown = repr::value(&headers.clone().into());
    if !arguments.flag("terminate") {
        return Answer::ok(format!(
            "headers {shown} flagged as revoked, but not terminated"
        ));
    }
    let found = terminate_stamped(shared, &headers, signum);
    if found.is_empty() {
        return Answer::ok(format!("headers {shown} were not terminated"));
    }
    let found: Vec<String> = found
        .iter()
        .map(|(header, stamps)| format!("{}: {}", repr::quoted(header), repr::set(stamps)))
        .collect();
    let found = found.join(", ");
    Answer::ok(format!(
        "headers defaultdict(<class 'set'>, {{{found}}}) revoked"
    ))
}

/// `{"key": values}`, or the command line's `["key=value"]`.
fn headers(value: &Value) -> Result<Map<String, Value>, Refusal> {
    let pair = |item: &Value| {
        let (key, value) = item.as_str()?.split_once('=')?;
        Some((key.to_owned(), value.into()))
    };
    let read = match value {
        Value::Object(headers) => Some(headers.clone()),
        Value::Array(items) => items.iter().map(pair).collect(),
        _ => None,
    };
    read.ok_or_else(|| Refusal::python("IndexError", "list index out of range"))
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    }
}

/// Ends running tasks that have one of these stamps; which stamps they were,
/// by header.
fn terminate_stamped(
    shared: &Shared,
    headers: &Map<String, Value>,
    signum: i32,
) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (header, stamps) in headers {
        let stamps = list(stamps);
        let mut matched: Vec<String> = Vec::new();
        for held in shared.requests.in_stage(Stage::Active) {
            let matching = matching_stamps(&held.request(), header, &stamps);
            if !matching.is_empty() {
                held.terminate(signum);
            }
            for stamp in matching.iter().map(repr::text) {
                if !matched.contains(&stamp) {
                    matched.push(stamp);
                }
            }
        }
        if !matched.is_empty() {
            found.push((header.clone(), matched));
        }
    }
    found
}

pub(super) fn revoked(shared: &Shared) -> Result<Answer, Refusal> {
    Answer::now(json!(shared.revoked.ids()))
}
