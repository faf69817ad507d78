//! rate_limit and time_limit: a task's limits while the worker works.

use serde_json::Value;

use super::command::{Answer, Arguments, Refusal};
use crate::task::{Rate, RateError};
use crate::value::repr;
use crate::worker::Shared;
use crate::worker::limits::Limits;
use crate::worker::tuning::Tuning;

pub(super) fn rate_limit(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    arguments.required("task_name")?;
    let given = arguments.required("rate_limit")?;
    let rate = rate(given)?;
    let (task, tuning) = known(shared, arguments, "Rate limit")?;
    tuning.set_rate(rate);
    // Celery's command line sends the text "0", which Python takes for a limit.
    let disables = match given {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        value => *value != Value::Bool(true),
    };
    if disables {
        tracing::info!("Rate limits disabled for tasks of type {task}");
        return Answer::ok("rate limit disabled successfully");
    }
    let shown = repr::text(given);
    tracing::info!("New rate limit for tasks of type {task}: {shown}.");
    Answer::ok("new rate limit set successfully")
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
            Refusal::new(format!("Invalid rate limit string: {}", python.text))
        }
        RateError::Unit(unit) => Refusal::python("KeyError", unit),
    })
}

pub(super) fn time_limit(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let (task, tuning) = known(shared, arguments, "Change time limit")?;
    let (soft, hard) = (arguments.number("soft")?, arguments.number("hard")?);
    tuning.set_time(Limits { hard, soft });
    let shown = |name| arguments.get(name).map_or("None".to_owned(), repr::text);
    let (soft, hard) = (shown("soft"), shown("hard"));
    tracing::info!("New time limits for tasks of type {task}: soft={soft} hard={hard}");
    Answer::ok("time limits set successfully")
}

fn known<'a>(
    shared: &'a Shared,
    arguments: &'a Arguments,
    what: &str,
) -> Result<(&'a str, &'a Tuning), Refusal> {
    let task = arguments
        .get("task_name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let tuning = shared.tunings.of(task).ok_or_else(|| {
        tracing::error!("{what} attempt for unknown task {task}");
        Refusal::new("unknown task")
    })?;
    Ok((task, tuning))
}
