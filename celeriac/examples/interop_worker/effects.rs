//! Tasks whose effects a test can see in a Redis: the one at `REDIS_HOST` and
//! `REDIS_PORT`, which need not be the broker.

use std::path::PathBuf;

use celeriac::task::{Args, FailedRequest, SignatureError, State, Task};
use celeriac::{Context, Failure, Signature, TaskError};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisResult};
use serde_json::Value;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

use super::{limits, python};

type Redis = State<ConnectionManager>;

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    Ok(vec![
        Task::new(
            "t.integration.tasks.redis_echo(message, redis_key='redis-echo')",
            redis_echo,
        )?,
        Task::new(
            "t.integration.tasks.redis_echo_group_id(_, redis_key='redis-group-ids')",
            redis_echo_group_id,
        )?,
        Task::new(
            "t.integration.tasks.redis_count(redis_key='redis-count')",
            redis_count,
        )?,
        Task::new(
            "t.integration.tasks.errback_old_style(request_id)",
            errback_old_style,
        )?,
        Task::new(
            "t.integration.tasks.errback_new_style(request, exc, tb)",
            errback_new_style,
        )?,
        Task::new(
            "t.integration.tasks.errback_old_style_with_args(request_id, label)",
            errback_old_style_with_args,
        )?,
        Task::new(
            "t.integration.tasks.errback_new_style_with_args(request, exc, tb, label)",
            errback_new_style_with_args,
        )?,
        Task::new(
            "t.integration.tasks.sum_and_record(values, redis_key)",
            sum_and_record,
        )?,
        Task::new(
            "t.integration.tasks.write_to_file_and_return_int(file_name, i)",
            write_to_file_and_return_int,
        )?,
        Task::new("interop.record(value, key, pause=0)", record)?,
        Task::new("interop.relay(task, args, queue)", relay)?,
    ])
}

/// The connection that the tasks share; opened when first used.
pub fn connect() -> RedisResult<ConnectionManager> {
    let variable = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let host = variable("REDIS_HOST", "localhost");
    let port = variable("REDIS_PORT", "6379");
    // A process that is paused for a while is no reason for a task to fail.
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None);
    Client::open(format!("redis://{host}:{port}/0"))?.get_connection_manager_lazy(config)
}

async fn redis_echo(
    Args((message, key)): Args<(Value, String)>,
    State(redis): Redis,
) -> Result<(), TaskError> {
    Ok((*redis)
        .clone()
        .rpush(key, python::written(&message))
        .await?)
}

async fn redis_echo_group_id(
    Args((_, key)): Args<(Value, String)>,
    State(redis): Redis,
    context: Context,
) -> Result<(), TaskError> {
    Ok((*redis)
        .clone()
        .rpush(key, &context.headers().group)
        .await?)
}

async fn redis_count(Args((key,)): Args<(String,)>, State(redis): Redis) -> Result<(), TaskError> {
    Ok((*redis).clone().incr(key, 1).await?)
}

async fn errback_old_style(
    Args((request_id,)): Args<(String,)>,
    State(redis): Redis,
) -> Result<String, TaskError> {
    let () = (*redis).clone().incr(&request_id, 1).await?;
    Ok(request_id)
}

async fn write_to_file_and_return_int(
    Args((file_name, i)): Args<(PathBuf, i64)>,
) -> Result<i64, TaskError> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file_name)
        .await?;
    file.write_all(format!("{i}\n").as_bytes()).await?;
    file.flush().await?;
    Ok(i)
}

/// What a failure tells: request, exception and traceback.
type Failed = (FailedRequest, Failure, Option<String>);

async fn errback_new_style(
    Args((request, _, _)): Args<Failed>,
    State(redis): Redis,
) -> Result<String, TaskError> {
    let () = (*redis).clone().incr(&request.id, 1).await?;
    Ok(request.id)
}

async fn errback_old_style_with_args(
    Args((request_id, label)): Args<(String, String)>,
    State(redis): Redis,
) -> Result<(), TaskError> {
    Ok((*redis).clone().rpush(request_id, label).await?)
}

async fn errback_new_style_with_args(
    Args((request, _, _, label)): Args<(FailedRequest, Failure, Option<String>, String)>,
    State(redis): Redis,
) -> Result<(), TaskError> {
    Ok((*redis).clone().rpush(request.id, label).await?)
}

async fn sum_and_record(
    Args((values, key)): Args<(Value, String)>,
    State(redis): Redis,
    context: Context,
) -> Result<Value, TaskError> {
    let () = (*redis).clone().rpush(key, context.id()).await?;
    Ok(python::sum(&values)?)
}

/// Works for `pause` seconds, then leaves `value` in the list `key`.
async fn record(
    Args((value, key, pause)): Args<(Value, String, f64)>,
    State(redis): Redis,
) -> Result<(), TaskError> {
    limits::pause(pause).await;
    Ok((*redis).clone().rpush(key, python::written(&value)).await?)
}

/// Has another worker run a task, and returns its result.
async fn relay(
    Args((task, args, queue)): Args<(String, Vec<Value>, String)>,
    context: Context,
) -> Result<Value, TaskError> {
    let call = args
        .into_iter()
        .fold(Signature::new(task).queue(queue), Signature::arg);
    let result = context.send(call).await?;
    Ok(result.get(std::time::Duration::from_secs(10)).await?)
}
