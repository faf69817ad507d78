//! A run under its time limits, and whatever it does.

use std::any::Any;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Number, Value};
use tokio::time::sleep;

use super::Outcome;
use crate::task::{Context, Failure, Task, TaskError, said};

/// Seconds that a run may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub hard: Option<f64>,
    pub soft: Option<f64>,
}

impl Limits {
    /// The limits of one run: the message's, else the task's, else the
    /// settings'. `tuned` are the task's if they have been changed since.
    pub fn of(context: &Context, task: &Task, tuned: Option<Self>) -> Self {
        let settings = context.app().settings();
        let (hard, soft) = &context.headers().timelimit;
        let seconds = |limit: &Option<Number>| limit.as_ref().and_then(Number::as_f64);
        let own = tuned.unwrap_or(Self {
            hard: task.options().time_limit,
            soft: task.options().soft_time_limit,
        });
        Self {
            hard: seconds(hard).or(own.hard).or(settings.task_time_limit),
            soft: seconds(soft).or(own.soft).or(settings.task_soft_time_limit),
        }
    }
}

/// Runs the task once. A panic is a failure; a limit drops the run at its
/// next await. `told`: ends when somebody wants the soft limit to be here.
pub(super) async fn run(
    task: &Task,
    context: &Context,
    limits: Limits,
    told: impl Future<Output = ()>,
) -> Outcome {
    let body = AssertUnwindSafe(task.run(context.clone())).catch_unwind();
    tokio::select! {
        biased;
        ended = context.span().scope(context.scope(body)) => match ended {
            Ok(result) => Outcome::from(result),
            Err(panic) => Outcome::Failure(panicked(&*panic)),
        },
        () = soft_limit(context, limits.soft, told) => soft_limit_exceeded(),
        () = after(limits.hard) => Outcome::TimeLimitExceeded(limits.hard.unwrap_or_default()),
    }
}

/// How a run ends that the soft limit interrupts.
pub(super) fn soft_limit_exceeded() -> Outcome {
    let class = "billiard.exceptions.SoftTimeLimitExceeded";
    Outcome::Failure(Failure::with_args(class, Vec::new()))
}

/// Strikes at the soft limit, and when it is `told` to; ends only if the task
/// does not look after it.
pub(super) async fn soft_limit(
    context: &Context,
    limit: Option<f64>,
    told: impl Future<Output = ()>,
) {
    tokio::select! {
        () = after(limit) => tracing::warn!(
            "Soft time limit ({}s) exceeded for {}[{}]",
            limit.unwrap_or_default(),
            context.headers().shown(),
            context.id()
        ),
        () = told => {}
    }
    if context.strike_soft_limit() {
        pending::<()>().await;
    }
}

/// Waits for a limit of so many seconds, if there is one.
pub(super) async fn after(seconds: Option<f64>) {
    match seconds.map(Duration::try_from_secs_f64) {
        Some(Ok(limit)) if !limit.is_zero() => sleep(limit).await,
        _ => pending().await,
    }
}

/// What a task fails with that has panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = said(panic);
    Failure::new("RuntimeError", format!("the task panicked: {text}"))
}

impl From<Result<Value, TaskError>> for Outcome {
    fn from(result: Result<Value, TaskError>) -> Self {
        match result {
            Ok(value) => Self::Success(value),
            Err(TaskError::Failure(failure)) => Self::Failure(failure),
            Err(TaskError::Retry(retry)) => Self::Retry(retry),
            Err(TaskError::Replace(signature)) => Self::Replace(signature),
            Err(TaskError::Reject { reason, requeue }) => Self::Reject { reason, requeue },
            Err(TaskError::Ignore) => Self::Ignore,
        }
    }
}
