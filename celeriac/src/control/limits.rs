//! rate_limit and time_limit: a task's limits while the worker works.

use serde_json::Value;

use super::command::{Answer, Arguments, Refusal};
use crate::task::{Rate, RateError};
use crate::worker::Shared;
use crate::worker::limits::Limits;
use crate::worker::tuning::Tuning;

pub(super) fn rate_limit(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    arguments.required("task_name")?;
    let rate = rate(arguments.required("rate_limit")?)?;
    let (task, tuning) = known(shared, arguments)?;
    let limited = rate.interval().is_some();
    tuning.set_rate(rate.clone());
    if limited {
        tracing::info!("New rate limit for tasks of type {task}: {rate}.");
        Answer::ok("new rate limit set successfully")
    } else {
        tracing::info!("Rate limits disabled for tasks of type {task}");
        Answer::ok("rate limit disabled successfully")
    }
}

fn rate(value: &Value) -> Result<Rate, Refusal> {
    let text = match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "0".to_owned(),
    };
    text.parse().map_err(|error: RateError| match &error {
        RateError::Number(_) => {
            let python = Refusal::python("ValueError", &error.to_string());
            Refusal::new(format!("Invalid rate limit string: {}", python.0))
        }
        RateError::Unit(unit) => Refusal::python("KeyError", unit),
    })
}

pub(super) fn time_limit(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let (task, tuning) = known(shared, arguments)?;
    let (soft, hard) = (arguments.number("soft")?, arguments.number("hard")?);
    tuning.set_time(Limits { hard, soft });
    tracing::info!("New time limits for tasks of type {task}: soft={soft:?} hard={hard:?}");
    Answer::ok("time limits set successfully")
}

fn known<'a>(
    shared: &'a Shared,
    arguments: &'a Arguments,
) -> Result<(&'a str, &'a Tuning), Refusal> {
    let task = arguments
        .get("task_name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let tuning = shared
        .tunings
        .of(task)
        .ok_or_else(|| Refusal::new("unknown task"))?;
    Ok((task, tuning))
}
