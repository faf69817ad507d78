//! Tasks and requests: active, reserved, scheduled, query_task, registered.

use serde_json::{Map, Value, json};

use super::command::{Answer, Arguments, Refusal};
use crate::task::Task;
use crate::value::repr;
use crate::worker::Shared;
use crate::worker::requests::{Held, Stage};

/// What `registered` shows of a task unless told otherwise.
const TASK_INFO_ITEMS: [&str; 3] = ["exchange", "routing_key", "rate_limit"];

pub(super) fn active(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let safe = arguments.flag("safe");
    Answer::now(infos(shared, Stage::Active, |held| held.info(safe)))
}

pub(super) fn reserved(shared: &Shared) -> Result<Answer, Refusal> {
    Answer::now(infos(shared, Stage::Reserved, |held| held.info(false)))
}

pub(super) fn scheduled(shared: &Shared) -> Result<Answer, Refusal> {
    let zone = shared.app.settings().timezone.unwrap_or_default();
    let info = |held: &Held| {
        let request = held.request();
        let [eta, _] = request.headers().times(zone);
        json!({
            "eta": eta,
            // Of Celery's timer.
            "priority": 6,
            "request": held.info_of(&request, false),
        })
    };
    Answer::now(infos(shared, Stage::Scheduled, info))
}

fn infos(shared: &Shared, stage: Stage, info: impl Fn(&Held) -> Value) -> Vec<Value> {
    shared.requests.in_stage(stage).iter().map(info).collect()
}

pub(super) fn query_task(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    arguments.required("ids")?;
    let ids = arguments.texts("ids");
    let mut held = shared
        .requests
        .matching(|held| ids.iter().any(|id| id == held.id()));
    held.sort_by_key(|held| ids.iter().position(|id| id == held.id()));
    let answer = |held: &Held| {
        (
            held.id().to_owned(),
            json!([held.stage.name(), held.info(false)]),
        )
    };
    Answer::now(held.iter().map(answer).collect::<Map<_, _>>())
}

pub(super) fn registered(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let mut items = arguments.texts("taskinfoitems");
    if items.is_empty() {
        items = TASK_INFO_ITEMS.map(str::to_owned).into();
    }
    items.retain(|item| !item.starts_with('_'));
    let builtins = arguments.flag("builtins");
    let mut names: Vec<&String> = shared.tasks.keys().collect();
    names.retain(|name| builtins || !name.starts_with("celery."));
    names.sort_unstable();
    let tasks = names.into_iter().filter_map(|name| shared.tasks.get(name));
    let described = tasks.map(|task| describe(shared, task, &items));
    Answer::now(described.collect::<Vec<_>>())
}

fn describe(shared: &Shared, task: &Task, items: &[String]) -> String {
    let item = |name: &String| {
        let value = attribute(shared, task, name)?;
        Some(format!("{name}={}", repr::text(&value)))
    };
    let items: Vec<String> = items.iter().filter_map(item).collect();
    match items.as_slice() {
        [] => task.name().to_owned(),
        items => format!("{} [{}]", task.name(), items.join(" ")),
    }
}

/// An attribute of a Python task that this one has, too.
fn attribute(shared: &Shared, task: &Task, name: &str) -> Option<Value> {
    let (options, settings) = (task.options(), shared.app.settings());
    let tuning = shared.tunings.of(task.name());
    let limits = tuning.and_then(|tuning| tuning.time());
    let value = match name {
        "name" => task.name().into(),
        "rate_limit" => tuning?.rate()?.to_string().into(),
        "acks_late" => options.acks_late.unwrap_or(settings.task_acks_late).into(),
        "reject_on_worker_lost" => options
            .reject_on_worker_lost
            .unwrap_or(settings.task_reject_on_worker_lost)
            .into(),
        "ignore_result" => options
            .ignore_result
            .unwrap_or(settings.task_ignore_result)
            .into(),
        "max_retries" => options.max_retries?.into(),
        "default_retry_delay" => options.default_retry_delay.into(),
        "time_limit" => limits
            .map_or(options.time_limit, |limits| limits.hard)?
            .into(),
        "soft_time_limit" => limits
            .map_or(options.soft_time_limit, |limits| limits.soft)?
            .into(),
        "track_started" => options
            .track_started
            .unwrap_or(settings.task_track_started)
            .into(),
        "serializer" => "json".into(),
        _ => return None,
    };
    Some(value)
}
