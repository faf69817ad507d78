//! `workers`: the worker of the call-analytics service, and a way to send it
//! tasks by hand.

mod cli;
mod dead_letter;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use celeriac::task::rusty;
use celeriac::{App, Config, Signature, Worker};
use clap::Parser;
use store::{Store, StoreSettings};
use workers::ingest::{IngestSettings, Ingestion};
use workers::insights::{Engine, InsightsSettings};

use cli::{Cli, Command, SendArgs, WorkerArgs};

/// The tables of celeryconfig.toml that belong to the service.
const SECTIONS: [&str; 4] = ["api", "store", "ingest", "insights"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    celeriac::log::init();
    let config = Config::load(cli.config.as_deref(), &SECTIONS)?;
    let app = App::new(config.settings().clone())?;
    match cli.command {
        Some(Command::Send(args)) => {
            let sent = send(&app, args).await;
            celeriac::trace::flush().await;
            sent
        }
        Some(Command::Ping { hostname }) => ping(app, hostname).await,
        Some(Command::Stubs { module }) => {
            print!("{}", with_tasks(app).stubs(module.as_deref()));
            Ok(())
        }
        Some(Command::DeadLetter { command }) => dead_letter::handle(&app, command).await,
        Some(Command::Worker(args)) => work(app, &config, args).await,
        None => work(app, &config, cli.worker).await,
    }
}

/// Runs the tasks of the service.
async fn work(app: App, config: &Config, args: WorkerArgs) -> anyhow::Result<()> {
    let ingest: IngestSettings = config.section("ingest")?;
    let insights: InsightsSettings = config.section("insights")?;
    let database: StoreSettings = config.section("store")?;

    let store = Store::connect(&database.url)
        .await
        .context("cannot open the database")?;
    store
        .migrate()
        .await
        .context("cannot migrate the database")?;
    let engine = Engine::start(&insights)
        .await
        .context("cannot load the models")?;
    let ingestion = Ingestion::new(ingest.transcript_source()?, store.clone(), ingest.clone());

    let mut worker = with_tasks(app)
        .state(Arc::new(ingest.call_defaults()))
        .state(Arc::new(store))
        .state(Arc::new(engine))
        .state(Arc::new(ingestion));
    if !args.queues.is_empty() {
        worker = worker.queues(&args.queues);
    }
    if let Some(slots) = args.concurrency {
        worker = worker.concurrency(slots);
    }
    if let Some(name) = args.hostname {
        worker = worker.nodename(name);
    }
    Ok(worker.run().await?)
}

/// A worker that knows the tasks of the service.
fn with_tasks(app: App) -> Worker {
    Worker::new(app).tasks([
        rusty::task::<workers::ingest::task::run>(),
        rusty::task::<workers::insights::task::process>(),
    ])
}

/// Fails unless the worker keeps its lease at the broker.
async fn ping(app: App, hostname: Option<String>) -> anyhow::Result<()> {
    let living = app.transport().living().await?;
    let nodename = hostname.unwrap_or_else(|| Worker::new(app).name().to_owned());
    anyhow::ensure!(living.contains(&nodename), "{nodename} is not alive");
    println!("{nodename}: OK pong");
    Ok(())
}

/// Sends one task and prints its id, or its result if asked to wait.
async fn send(app: &App, args: SendArgs) -> anyhow::Result<()> {
    let mut signature = Signature::new(args.task);
    signature.args = serde_json::from_str(&args.args).context("--args is not a JSON list")?;
    signature.kwargs =
        serde_json::from_str(&args.kwargs).context("--kwargs is not a JSON object")?;
    signature.options.queue = args.queue;
    let result = app.send(signature).await?;
    match args.wait {
        Some(seconds) => {
            let value: serde_json::Value = result.get(Duration::from_secs(seconds)).await?;
            println!("{value:#}");
        }
        None => println!("{}", result.id()),
    }
    Ok(())
}
