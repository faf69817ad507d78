//! Tasks that take time, and those that know their limits.

use std::time::Duration;

use celeriac::task::{Args, SignatureError, Task, TaskOptions};
use celeriac::{Context, TaskError};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::python;

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    let limits = |soft, hard| TaskOptions {
        soft_time_limit: Some(soft),
        time_limit: Some(hard),
        ..TaskOptions::default()
    };
    Ok(vec![
        Task::new("t.integration.tasks.sleeping(i, **_)", sleeping)?,
        Task::new(
            "t.integration.tasks.delayed_sum(numbers, pause_time=1)",
            delayed_sum,
        )?,
        Task::new(
            "t.integration.tasks.delayed_sum_with_soft_guard(numbers, pause_time=1)",
            delayed_sum_with_soft_guard,
        )?,
        Task::new(
            "t.integration.tasks.return_request_time_limits()",
            request_time_limits,
        )?,
        Task::new(
            "t.integration.tasks.task_with_declared_time_limits()",
            request_time_limits,
        )?
        .with(limits(45.0, 60.0)),
        Task::new(
            "t.integration.tasks.soft_time_limit_must_exceed_time_limit()",
            // It is never sent: that takes limits in their order.
            || async { Ok::<(), TaskError>(()) },
        )?
        .with(limits(2.0, 1.0)),
    ])
}

async fn sleeping(Args((i, _)): Args<(f64, Map<String, Value>)>) -> Result<(), TaskError> {
    pause(i).await;
    Ok(())
}

async fn delayed_sum(Args((numbers, seconds)): Args<(Value, f64)>) -> Result<Value, TaskError> {
    pause(seconds).await;
    Ok(python::sum(&numbers)?)
}

async fn delayed_sum_with_soft_guard(
    Args((numbers, seconds)): Args<(Value, f64)>,
    context: Context,
) -> Result<Value, TaskError> {
    tokio::select! {
        () = pause(seconds) => Ok(python::sum(&numbers)?),
        () = context.soft_time_limit() => Ok(0.into()),
    }
}

async fn request_time_limits(context: Context) -> Result<Value, TaskError> {
    let (hard, soft) = context.headers().timelimit.clone();
    Ok(json!({"time_limit": hard, "soft_time_limit": soft}))
}

/// `time.sleep(seconds)`
pub async fn pause(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds.max(0.0))).await;
}
