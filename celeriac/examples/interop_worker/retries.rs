//! Tasks that want to run again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use celeriac::canvas::Options;
use celeriac::task::{Args, Retry, SignatureError, State, Task, TaskOptions};
use celeriac::{Context, Failure, TaskError};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failures::{expected, unpickleable};
use super::python;

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    let once = TaskOptions {
        max_retries: Some(1),
        ..TaskOptions::default()
    };
    let tasks = vec![
        Task::new("t.integration.tasks.retry(return_value=None)", retry)?,
        Task::new(
            "t.integration.tasks.retry_unpickleable(foo, bar, *, retry_kwargs)",
            retry_unpickleable,
        )?,
        Task::new(
            "t.integration.tasks.retry_once(*args, expires=None, max_retries=1, countdown=0.1)",
            retry_once,
        )?
        .with(once.clone()),
        Task::new(
            "t.integration.tasks.retry_once_priority(*args, expires=60, max_retries=1, countdown=0.1)",
            retry_once_priority,
        )?
        .with(once.clone()),
        Task::new(
            "t.integration.tasks.retry_once_headers(*args, max_retries=1, countdown=0.1)",
            retry_once_headers,
        )?
        .with(once.clone()),
        Task::new(
            "t.integration.tasks.retry_with_args_after_kwargs(foo, bar, label=None)",
            retry_with_args_after_kwargs,
        )?
        .with(once.clone()),
        Task::new(
            "t.integration.tasks.retry_with_kwargs_after_args(foo, bar)",
            retry_with_kwargs_after_args,
        )?
        .with(once.clone()),
        Task::new("t.integration.tasks.retry_once_ignore_result()", retry_at_once)?
            .with(ignoring(true)),
        Task::new("t.integration.tasks.retry_once_with_result()", retry_at_once)?
            .with(ignoring(false)),
        Task::new("auto_retry_class_task()", auto_retry)?.with(once),
        Task::new("interop.give_up(reason, max_retries)", give_up)?,
        Task::new("interop.retry_at(eta)", retry_at)?,
        Task::new("interop.retry_with(**options)", retry_with)?,
    ];
    Ok(tasks)
}

fn ignoring(ignore_result: bool) -> TaskOptions {
    TaskOptions {
        ignore_result: Some(ignore_result),
        ..TaskOptions::default()
    }
}

/// How often `retry` has been tried with a return value. The worker's own
/// count, as Python's tasks keep it on the task object.
#[derive(Default)]
pub struct Attempts(AtomicU32);

async fn retry(
    Args((return_value,)): Args<(Value,)>,
    State(attempts): State<Attempts>,
) -> Result<Value, TaskError> {
    if python::truth(&return_value) && attempts.0.fetch_add(1, Ordering::Relaxed) >= 3 {
        attempts.0.store(0, Ordering::Relaxed);
        return Ok(return_value);
    }
    Err(Retry::after(Duration::from_secs(5))
        .because(expected(vec![]))
        .into())
}

/// The keyword arguments of `Task.retry` that JSON can carry.
#[derive(Deserialize)]
struct RetryOptions {
    countdown: Option<f64>,
    max_retries: Option<u32>,
}

impl RetryOptions {
    fn retry(&self) -> Retry {
        let again = self
            .countdown
            .map(|seconds| Retry::after(Duration::from_secs_f64(seconds)));
        Retry {
            max_retries: self.max_retries,
            ..again.unwrap_or_default()
        }
    }
}

async fn retry_unpickleable(Args(call): Args<Unpickleable>) -> Result<(), TaskError> {
    Err(call
        .retry_kwargs
        .retry()
        .because(unpickleable(call.foo))
        .into())
}

#[derive(Deserialize)]
struct Unpickleable {
    foo: Value,
    retry_kwargs: RetryOptions,
}

async fn retry_once(Args(options): Args<RetryOptions>, context: Context) -> Result<u32, TaskError> {
    retried_once(&options, &context)
}

async fn retry_once_priority(
    Args(options): Args<RetryOptions>,
    context: Context,
) -> Result<Option<u8>, TaskError> {
    retried_once(&options, &context)?;
    Ok(context.request().message.properties.priority)
}

async fn retry_once_headers(
    Args(options): Args<RetryOptions>,
    context: Context,
) -> Result<Map<String, Value>, TaskError> {
    retried_once(&options, &context)?;
    Ok(context.headers().extra.clone())
}

/// Retries until it may no longer; fails with `reason`, if there is one.
async fn give_up(Args((reason, max_retries)): Args<(Option<Value>, u32)>) -> Result<(), TaskError> {
    Err(Retry {
        max_retries: Some(max_retries),
        exc: reason.map(|reason| expected(vec![reason])),
        ..Retry::after(Duration::from_millis(100))
    }
    .into())
}

/// Retries at that time; what its request knows of it then.
async fn retry_at(
    Args((eta,)): Args<(DateTime<Utc>,)>,
    context: Context,
) -> Result<Option<String>, TaskError> {
    match context.headers().retries {
        0 => context.retry(Retry {
            eta: Some(eta),
            ..Retry::default()
        }),
        _ => Ok(context.headers().eta.clone()),
    }
}

/// Is sent again with these options.
async fn retry_with(Args((options,)): Args<(Options,)>) -> Result<(), TaskError> {
    Err(Retry::after(Duration::ZERO).options(options).into())
}

async fn retry_with_args_after_kwargs(
    Args((first, second, label)): Args<(i64, i64, Value)>,
    context: Context,
) -> Result<Value, TaskError> {
    match context.headers().retries {
        0 => {
            let args = [first + 1, second + 1].map(Value::from);
            context.retry(Retry::after(Duration::ZERO).args(args))
        }
        retries => Ok(json!({
            "foo": first, "bar": second, "label": label, "retries": retries, "is_eager": false,
        })),
    }
}

async fn retry_with_kwargs_after_args(
    Args((first, second)): Args<(i64, i64)>,
    context: Context,
) -> Result<Value, TaskError> {
    match context.headers().retries {
        0 => {
            let first = ("foo".to_owned(), (first + 1).into());
            context.retry(Retry::after(Duration::ZERO).kwargs(Map::from_iter([first])))
        }
        retries => Ok(json!({"foo": first, "bar": second, "retries": retries, "is_eager": false})),
    }
}

async fn retry_at_once(context: Context) -> Result<u32, TaskError> {
    match context.headers().retries {
        0 => context.retry(Retry::after(Duration::ZERO)),
        retries => Ok(retries),
    }
}

/// How often the task has been retried, once it has been.
fn retried_once(options: &RetryOptions, context: &Context) -> Result<u32, TaskError> {
    match context.headers().retries {
        0 => Err(options.retry().into()),
        retries => Ok(retries),
    }
}

/// As a class with `autoretry_for = (ValueError,)` and `retry_backoff = True`.
async fn auto_retry(context: Context) -> Result<u32, TaskError> {
    match context.headers().retries {
        0 => {
            let error = Failure::with_args("ValueError", vec![]);
            Err(Retry::after(Duration::from_secs(1)).because(error).into())
        }
        retries => Ok(retries),
    }
}
