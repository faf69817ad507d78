//! Tasks that show what `#[celeriac::task]` can say, named `native.NAME`.

use std::time::{Duration, Instant};

use celeriac::task::{State, Task};
use celeriac::{Context, Failure, TaskError};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use serde_json::{Map, Value};

/// The family.
pub fn tasks() -> [Task; 11] {
    [
        add::task(),
        double::task(),
        greet::task(),
        total::task(),
        flow::task(),
        flaky::task(),
        patient::task(),
        block::task(),
        hog::task(),
        echo::task(),
        slow::task(),
    ]
}

/// Adds two numbers, or three.
#[celeriac::task(name = "native.add")]
async fn add(x: i64, y: i64, z: Option<i64>) -> Result<i64, TaskError> {
    Ok(x + y + z.unwrap_or_default())
}

/// Starts ten times a second at most.
#[celeriac::task(name = "native.slow", rate_limit = "10/s")]
async fn slow(n: i64) -> Result<i64, TaskError> {
    Ok(n)
}

#[celeriac::task(name = "native.double")]
async fn double(x: i64) -> Result<i64, TaskError> {
    Ok(2 * x)
}

/// Greets somebody.
///
/// With "Hello" unless told otherwise.
#[celeriac::task(name = "native.greet")]
async fn greet(name: String, #[default("Hello")] greeting: String) -> Result<String, TaskError> {
    Ok(format!("{greeting}, {name}"))
}

/// Sums what it is given by place and by name.
#[celeriac::task(name = "native.total")]
async fn total(
    #[args] numbers: Vec<i64>,
    #[default(1)] factor: i64,
    #[kwargs] more: Map<String, Value>,
) -> Result<i64, TaskError> {
    let more = more.values().filter_map(Value::as_i64);
    Ok(factor * numbers.into_iter().chain(more).sum::<i64>())
}

/// Sends a chain to `queue`, and returns its result.
#[celeriac::task(name = "native.flow")]
async fn flow(x: i64, queue: String, context: Context) -> Result<i64, TaskError> {
    let chain = add::s((x, 1)).queue(&queue)
        | add::s((10,)).queue(&queue)
        | double::s(()).queue(&queue)
        | add::si((x, 0, 5)).queue(&queue)
        | double::s(()).queue(&queue);
    let result = chain.delay(context.app()).await?;
    Ok(result.get(Duration::from_secs(10)).await?)
}

/// Fails `times` times with an exception of this class.
#[celeriac::task(
    name = "native.flaky",
    max_retries = 2,
    default_retry_delay = 0.1,
    autoretry_for = ["OSError", "app.errors.Busy"],
    dont_autoretry_for = ["FileNotFoundError"]
)]
async fn flaky(times: u32, exception: String, context: Context) -> Result<u32, TaskError> {
    match context.headers().retries {
        retries if retries < times => {
            Err(Failure::new(&exception, format!("try {retries}")).into())
        }
        retries => Ok(retries),
    }
}

/// Fails as long as it may; the pauses grow.
#[celeriac::task(
    name = "native.patient",
    max_retries = 2,
    autoretry_for = ["LookupError"],
    retry_backoff = 1,
    retry_backoff_max = 60,
    retry_jitter = false
)]
async fn patient() -> Result<(), TaskError> {
    Err(Failure::new("KeyError", "not yet").into())
}

/// Sleeps without letting others do anything; returns its id.
#[celeriac::task(name = "native.block")]
fn block(seconds: f64) -> Result<String, TaskError> {
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let context = Context::current().ok_or_else(|| Failure::new("RuntimeError", "no context"))?;
    Ok(context.id().to_owned())
}

/// Computes without ever waiting for anything, which an async function should
/// not do for long.
#[celeriac::task(name = "native.hog")]
async fn hog(seconds: f64) -> Result<(), TaskError> {
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < seconds {
        std::hint::spin_loop();
    }
    Ok(())
}

/// Leaves a message in a list.
#[celeriac::task(name = "native.echo")]
async fn echo(
    key: String,
    message: String,
    State(redis): State<ConnectionManager>,
) -> Result<(), TaskError> {
    Ok((*redis).clone().rpush(key, message).await?)
}
