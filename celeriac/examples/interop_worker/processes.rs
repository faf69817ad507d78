//! Tasks that run in child processes, and what can become of those:
//! `processes.NAME`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use celeriac::task::{Retry, State, Task};
use celeriac::{Context, Failure, Signature, TaskError};
use nix::sys::signal::{Signal, raise};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use serde_json::{Value, json};

/// The family.
pub fn tasks() -> [Task; 18] {
    [
        pid::task(),
        here::task(),
        crash::task(),
        crash_late::task(),
        crash_rejected::task(),
        crash_retried::task(),
        hang_at_first::task(),
        leave::task(),
        cat::task(),
        await_cat::task(),
        fail::task(),
        spin::task(),
        listen::task(),
        allocate::task(),
        progress::task(),
        send::task(),
        again::task(),
        replaced::task(),
    ]
}

/// The pid of the process that runs it.
#[celeriac::task(name = "processes.pid", process)]
async fn pid(#[default(Value::Null)] _before: Value) -> Result<u32, TaskError> {
    Ok(std::process::id())
}

/// The same, in the worker whatever its pool.
#[celeriac::task(name = "processes.here", process = false)]
async fn here() -> Result<u32, TaskError> {
    Ok(std::process::id())
}

/// Dies by a signal.
#[celeriac::task(name = "processes.crash", process)]
async fn crash(#[default(9)] signum: i32) -> Result<(), TaskError> {
    let signal = Signal::try_from(signum)?;
    // Rust's own handler looks at the first SEGV, and lets the second one kill.
    raise(signal)?;
    Ok(raise(signal)?)
}

/// Dies as often as told, and counts.
#[celeriac::task(name = "processes.crash_late", process, acks_late)]
async fn crash_late(
    key: String,
    #[default(1)] times: u64,
    State(redis): State<ConnectionManager>,
) -> Result<u64, TaskError> {
    crash_at_first(&key, times, &redis).await
}

/// The same; its message goes back.
#[celeriac::task(
    name = "processes.crash_rejected",
    process,
    acks_late,
    reject_on_worker_lost
)]
async fn crash_rejected(
    key: String,
    #[default(1)] times: u64,
    State(redis): State<ConnectionManager>,
) -> Result<u64, TaskError> {
    crash_at_first(&key, times, &redis).await
}

/// The same; it is tried again, twice.
#[celeriac::task(
    name = "processes.crash_retried",
    process,
    acks_late,
    reject_on_worker_lost,
    retry_on_worker_lost,
    max_retries = 2,
    default_retry_delay = 0.1
)]
async fn crash_retried(
    key: String,
    #[default(1)] times: u64,
    State(redis): State<ConnectionManager>,
) -> Result<u64, TaskError> {
    crash_at_first(&key, times, &redis).await
}

/// Sleeps when it runs for the first time.
#[celeriac::task(name = "processes.hang_at_first", acks_late)]
async fn hang_at_first(
    key: String,
    seconds: f64,
    State(redis): State<ConnectionManager>,
) -> Result<u64, TaskError> {
    let run = crash_at_first(&key, 0, &redis).await?;
    if run == 1 {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    Ok(run)
}

async fn crash_at_first(
    key: &str,
    times: u64,
    redis: &ConnectionManager,
) -> Result<u64, TaskError> {
    let run: u64 = redis.clone().incr(key, 1).await?;
    if run <= times {
        raise(Signal::SIGKILL)?;
    }
    Ok(run)
}

/// Ends the process in order.
#[celeriac::task(name = "processes.leave", process)]
async fn leave(code: i32) -> Result<(), TaskError> {
    std::process::exit(code)
}

/// Has another program read all that it is given.
#[celeriac::task(name = "processes.cat", process)]
fn cat() -> Result<String, TaskError> {
    let read = Command::new("cat").stdin(Stdio::inherit()).output()?;
    Ok(String::from_utf8(read.stdout)?)
}

/// Waits for another program, and can be told to end meanwhile.
#[celeriac::task(name = "processes.await_cat", process)]
async fn await_cat() -> Result<bool, TaskError> {
    let mut cat = tokio::process::Command::new("cat");
    Ok(cat.stdin(Stdio::null()).status().await?.success())
}

/// Fails for a reason that has one.
#[celeriac::task(name = "processes.fail", process, autoretry_for = ["ValueError"], max_retries = 0)]
async fn fail() -> Result<(), TaskError> {
    Err(Failure::new("ValueError", "in a child").into())
}

/// Computes, and listens to nobody.
#[celeriac::task(name = "processes.spin", process)]
async fn spin(
    seconds: f64,
    #[default(Value::Null)] key: Value,
    State(redis): State<ConnectionManager>,
) -> Result<u32, TaskError> {
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < seconds {
        std::hint::spin_loop();
    }
    if let Some(key) = key.as_str() {
        let _: u64 = (*redis).clone().incr(key, 1).await?;
    }
    Ok(std::process::id())
}

/// Computes, and asks for its soft limit between its steps.
#[celeriac::task(name = "processes.listen", process)]
fn listen(seconds: f64) -> Result<&'static str, TaskError> {
    let begun = Instant::now();
    let context = Context::current().ok_or_else(|| Failure::new("RuntimeError", "no context"))?;
    while begun.elapsed().as_secs_f64() < seconds {
        if context.soft_time_limit_exceeded() {
            return Ok("interrupted");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok("done")
}

/// Takes memory and keeps it.
#[celeriac::task(name = "processes.allocate", process)]
async fn allocate(megabytes: usize) -> Result<u32, TaskError> {
    Vec::leak(vec![1_u8; megabytes << 20]);
    Ok(std::process::id())
}

/// Tells how far it is before it ends.
#[celeriac::task(name = "processes.progress", process)]
async fn progress(steps: u64, context: Context) -> Result<u64, TaskError> {
    for step in 1..=steps {
        let progress = json!({"done": step, "of": steps});
        context.update_state("PROGRESS", progress).await?;
    }
    Ok(steps)
}

/// Sends a task, its child.
#[celeriac::task(name = "processes.send", process)]
async fn send(queue: String, context: Context) -> Result<String, TaskError> {
    let identity = Signature::new("t.integration.tasks.identity").arg(1);
    Ok(context.send(identity.queue(queue)).await?.id().to_owned())
}

/// Retries once; the pids of both runs differ, or do not.
#[celeriac::task(name = "processes.again", process)]
async fn again(context: Context) -> Result<u32, TaskError> {
    match context.headers().retries {
        0 => {
            let because = Failure::new("ValueError", "not yet");
            context.retry(Retry::after(Duration::from_millis(100)).because(because))
        }
        retries => Ok(retries),
    }
}

/// Has another task run in its place.
#[celeriac::task(name = "processes.replaced", process)]
async fn replaced(value: Value, queue: String, context: Context) -> Result<(), TaskError> {
    let identity = Signature::new("t.integration.tasks.identity").arg(value);
    context.replace(identity.queue(queue))
}
