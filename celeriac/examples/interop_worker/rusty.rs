//! Tasks written for [rusty-celery](https://rusty-celery.github.io), which
//! Celeriac runs as they are.

// rusty-celery's macro makes such.
#![allow(non_local_definitions)]

use std::time::Duration;

use celeriac::{Context, Signature};
use celery::prelude::*;
use serde_json::Value;

/// The family.
pub fn tasks() -> Vec<celeriac::task::Task> {
    use celeriac::task::rusty::task;
    vec![
        task::<add>(),
        task::<greet>(),
        task::<fail>(),
        task::<retry>(),
        task::<flaky>(),
        task::<sleep>(),
        task::<relay>(),
        task::<send>(),
    ]
}

#[celery::task(name = "rusty.add")]
fn add(x: i64, y: i64) -> TaskResult<i64> {
    Ok(x + y)
}

#[celery::task(name = "rusty.greet")]
fn greet(name: String, greeting: Option<String>) -> TaskResult<String> {
    Ok(format!(
        "{}, {name}",
        greeting.unwrap_or_else(|| "Hello".to_owned())
    ))
}

#[celery::task(name = "rusty.fail", max_retries = 0)]
fn fail(message: String) -> TaskResult<()> {
    Err(TaskError::UnexpectedError(message))
}

/// Asks for itself twice.
#[celery::task(bind = true, name = "rusty.retry", max_retries = 3)]
fn retry(task: &Self, countdown: u32) -> TaskResult<u32> {
    let retries = task.request.retries;
    if retries < 2 {
        return Err(task
            .retry_with_countdown(countdown)
            .err()
            .unwrap_or(TaskError::Retry(None)));
    }
    Ok(retries)
}

/// Fails `times` times; the worker retries it, as rusty-celery's does.
#[celery::task(
    bind = true,
    name = "rusty.flaky",
    max_retries = 2,
    max_retry_delay = 0
)]
fn flaky(task: &Self, times: u32) -> TaskResult<u32> {
    let retries = task.request.retries;
    if retries < times {
        return Err(TaskError::ExpectedError(format!(
            "ConnectionError: attempt {retries}"
        )));
    }
    Ok(retries)
}

#[celery::task(name = "rusty.sleep", max_retries = 0, time_limit = 1)]
async fn sleep(seconds: f64) -> TaskResult<()> {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    Ok(())
}

/// Has another worker run a task, and returns its result.
#[celery::task(name = "rusty.relay", max_retries = 0)]
async fn relay(task: String, args: Vec<Value>, queue: String) -> TaskResult<Value> {
    let context = Context::current()
        .ok_or_else(|| TaskError::UnexpectedError("not in a worker".to_owned()))?;
    let call = args
        .into_iter()
        .fold(Signature::new(task).queue(queue), Signature::arg);
    let result = context
        .send(call)
        .await
        .with_unexpected_err(|| "cannot send")?;
    result
        .get(Duration::from_secs(10))
        .await
        .with_expected_err(|| "no result")
}

/// Sends `rusty.add` the way rusty-celery does; returns its id.
#[celery::task(bind = true, name = "rusty.send", max_retries = 0)]
async fn send(task: &Self, x: i64, y: i64, queue: String) -> TaskResult<String> {
    let call = add::new(x, y).with_queue(&queue);
    let sent = task
        .request
        .app
        .send_task(call)
        .await
        .with_unexpected_err(|| "cannot send")?;
    Ok(sent.task_id)
}
