//! Tasks that end badly.

use celeriac::task::{Args, SignatureError, Task, TaskOptions};
use celeriac::{Context, Failure, TaskError};
use serde_json::Value;

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    let late = TaskOptions {
        acks_late: Some(true),
        ..TaskOptions::default()
    };
    Ok(vec![
        Task::new("t.integration.tasks.raise_error(*args)", raise_error)?,
        Task::new("t.integration.tasks.fail(*args)", fail)?,
        Task::new(
            "t.integration.tasks.fail_unpickleable(foo, bar)",
            fail_unpickleable,
        )?,
        Task::new("t.integration.tasks.return_exception(e)", return_exception)?,
        Task::new(
            "t.integration.tasks.store_success_then_reject()",
            store_success_then_reject,
        )?
        .with(late.clone()),
        Task::new(
            "t.integration.tasks.reject_then_succeed()",
            reject_then_succeed,
        )?
        .with(late.clone()),
        Task::new(
            "t.integration.tasks.reject_without_requeue()",
            reject_without_requeue,
        )?,
        Task::new("interop.refuse()", reject_without_requeue)?.with(late),
        Task::new("interop.ignore(state)", ignore)?,
    ])
}

/// `ExpectedException(*args)`, which the Python twin of this program defines.
pub fn expected(args: Vec<Value>) -> Failure {
    Failure::with_args("t.integration.tasks.ExpectedException", args)
}

/// `UnpickleableException(foo, bar)`, of whose arguments only one is kept.
pub fn unpickleable(kept: Value) -> Failure {
    Failure::with_args("t.integration.tasks.UnpickleableException", vec![kept])
}

async fn raise_error() -> Result<(), TaskError> {
    Err(Failure::new("ValueError", "deliberate error").into())
}

async fn fail(Args((args,)): Args<(Vec<Value>,)>) -> Result<(), TaskError> {
    let message = Value::from("Task expected to fail");
    Err(expected([vec![message], args].concat()).into())
}

async fn fail_unpickleable(Args((kept, _)): Args<(Value, Value)>) -> Result<(), TaskError> {
    Err(unpickleable(kept).into())
}

async fn return_exception(Args((e,)): Args<(Value,)>) -> Result<(Value, bool), TaskError> {
    Ok((e, true))
}

/// Has succeeded when it is delivered again: what deduplication is for.
async fn store_success_then_reject(context: Context) -> Result<&'static str, TaskError> {
    if context.request().message.redelivered() {
        return Ok("dedup-pass");
    }
    context.update_state("SUCCESS", "first-pass").await?;
    Err(reject(true))
}

async fn reject_then_succeed(context: Context) -> Result<&'static str, TaskError> {
    if context.request().message.redelivered() {
        return Ok("second-pass");
    }
    Err(reject(true))
}

async fn reject_without_requeue() -> Result<(), TaskError> {
    Err(reject(false))
}

/// Stores its state by itself, and nothing is stored after that.
async fn ignore(Args((state,)): Args<(String,)>, context: Context) -> Result<(), TaskError> {
    context.update_state(&state, "by itself").await?;
    Err(TaskError::Ignore)
}

fn reject(requeue: bool) -> TaskError {
    TaskError::Reject {
        reason: "rejected".to_owned(),
        requeue,
    }
}
