//! A worker with a session for each run, and a journal of all runs: how
//! [`Layer`], [`Hooks`] and a worker's signals are used.
//!
//! ```text
//! cargo run -p celeriac --features command --example hooks -- --help
//! ```

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use celeriac::command::WorkerArgs;
use celeriac::task::{
    Ended, Hooks, Invocation, Layer, Next, Retry, State, TaskError, Value, async_trait,
};
use celeriac::{App, Config, Context, Failure, Worker};
use clap::Parser;
use redis::AsyncCommands;
use redis::aio::ConnectionManager;

/// Writes that take place together, or not at all.
#[derive(Default)]
struct Session(Mutex<redis::Pipeline>);

impl Session {
    fn push(&self, list: &str, item: &str) {
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writes.rpush(list, item);
    }

    async fn commit(&self, mut redis: ConnectionManager) -> Result<(), TaskError> {
        let mut writes = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(writes.atomic().exec_async(&mut redis).await?)
    }
}

/// Gives each run a session, and commits it if the run succeeds.
struct InSession(ConnectionManager);

#[async_trait]
impl Layer for InSession {
    async fn call(&self, call: Invocation, next: Next) -> Result<Value, TaskError> {
        let session = Arc::new(Session::default());
        call.context.insert(Arc::clone(&session));
        let result = next.run(call).await?;
        session.commit(self.0.clone()).await?;
        Ok(result)
    }
}

/// Writes down what becomes of each run.
struct Journal(ConnectionManager);

impl Journal {
    async fn write(&self, run: &str, text: String) {
        let mut redis = self.0.clone();
        if let Err(error) = redis
            .rpush::<_, _, ()>(format!("journal:{run}"), text)
            .await
        {
            tracing::warn!("cannot write the journal: {error}");
        }
    }
}

#[async_trait]
impl Hooks for Journal {
    async fn before_start(&self, context: &Context) -> Result<(), TaskError> {
        self.write(context.id(), "before_start".to_owned()).await;
        match context.body().args.first().and_then(Value::as_str) {
            Some("nothing") => Err(Failure::new("ValueError", "there is nothing to order").into()),
            _ => Ok(()),
        }
    }

    async fn on_success(&self, context: &Context, result: &Value) {
        self.write(context.id(), format!("on_success {result}"))
            .await;
    }

    async fn on_failure(&self, context: &Context, failure: &Failure) {
        self.write(context.id(), format!("on_failure {failure}"))
            .await;
    }

    async fn on_retry(&self, context: &Context, retry: &Retry) {
        let reason = retry.exc.as_ref().map(Failure::to_string);
        let text = format!("on_retry {}", reason.unwrap_or_default());
        self.write(context.id(), text).await;
    }

    async fn after_return(&self, context: &Context, ended: &Ended<'_>) {
        self.write(context.id(), format!("after_return {}", ended.state()))
            .await;
    }
}

/// Orders an item, in one of several ways.
#[celeriac::task(name = "shop.order", max_retries = 1)]
async fn order(
    item: String,
    #[default("well")] way: String,
    context: Context,
    State(session): State<Session>,
) -> Result<usize, TaskError> {
    session.push("orders", &item);
    let sold_out = || Failure::new("ValueError", "sold out");
    match (way.as_str(), context.headers().retries) {
        ("fail", _) => Err(sold_out().into()),
        ("later", 0) | ("never", _) => {
            context.retry(Retry::after(Duration::from_millis(100)).because(sold_out()))
        }
        ("ignore", _) => Err(TaskError::Ignore),
        _ => Ok(item.len()),
    }
}

/// The session is the run's own, in a child process, too.
#[celeriac::task(name = "shop.order_apart", process)]
async fn order_apart(item: String, State(session): State<Session>) -> Result<usize, TaskError> {
    session.push("orders", &item);
    Ok(item.len())
}

#[derive(Parser)]
struct Options {
    /// The Redis of the journal and the orders.
    #[arg(long, env = "JOURNAL_URL", default_value = "redis://127.0.0.1:6379/1")]
    journal: String,
    /// How to be a worker.
    #[command(flatten)]
    worker: WorkerArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Options {
        journal,
        worker: args,
    } = Options::parse();
    args.start_log()?;
    let mut settings = Config::load(None, &[])?.settings().clone();
    args.apply(&mut settings);
    let redis = redis::Client::open(journal)?;
    let redis = redis.get_connection_manager_lazy(Default::default())?;
    let say = |text: &'static str| {
        let redis = redis.clone();
        move |_| {
            let journal = Journal(redis.clone());
            async move { journal.write("worker", text.to_owned()).await }
        }
    };
    let worker = Worker::new(App::new(settings)?)
        .tasks([order::task(), order_apart::task()])
        .hooks(Journal(redis.clone()))
        .layer(InSession(redis.clone()))
        .on_ready(say("ready"))
        .on_shutting_down(say("shutting down"));
    Ok(args.run(worker).await?)
}
