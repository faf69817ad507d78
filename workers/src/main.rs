//! `workers`: the worker of the call-analytics service, and a way to send it
//! tasks by hand.

mod cli;
mod dead_letter;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use celeriac::command::WorkerArgs;
use celeriac::task::rusty;
use celeriac::{App, Config, Signature, Worker, nodename, value};
use clap::Parser;
use store::{Store, StoreSettings};
use workers::ingest::{IngestSettings, Ingestion};
use workers::insights::{Engine, InsightsSettings};

use cli::{Cli, Command, SendArgs};

/// The tables of celeryconfig.toml that belong to the service.
const SECTIONS: [&str; 4] = ["api", "store", "ingest", "insights"];

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let worker = match &cli.command {
        Some(Command::Worker(args)) => args.as_ref(),
        _ => &cli.worker,
    }
    .clone();
    worker.start_log()?;
    let config = Config::load(cli.config.as_deref(), &SECTIONS)?;
    let mut settings = config.settings().clone();
    worker.apply(&mut settings);
    let app = App::new(settings)?;
    match cli.command {
        Some(Command::Send(args)) => {
            let sent = send(&app, args).await;
            celeriac::trace::flush().await;
            sent?;
        }
        Some(Command::Ping { hostname }) => ping(app, hostname).await?,
        Some(Command::Stubs { module }) => {
            print!("{}", with_tasks(app).stubs(module.as_deref()));
        }
        Some(Command::DeadLetter { command }) => dead_letter::handle(&app, command).await?,
        Some(Command::Worker(_)) | None => return work(app, &config, &worker).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the tasks of the service.
async fn work(app: App, config: &Config, args: &WorkerArgs) -> anyhow::Result<ExitCode> {
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

    let worker = with_tasks(app)
        .state(Arc::new(ingest.call_defaults()))
        .state(Arc::new(store))
        .state(Arc::new(engine))
        .state(Arc::new(ingestion));
    Ok(args.run(worker).await?)
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
    let living = app.broker().living().await?;
    let living = living.context("this broker does not know which workers live")?;
    let nodename = nodename::host_format(&nodename::default_nodename(hostname.as_deref()))?;
    anyhow::ensure!(living.contains(&nodename), "{nodename} is not alive");
    println!("{nodename}: OK pong");
    Ok(())
}

/// Sends one task and prints its id, or its result if asked to wait.
async fn send(app: &App, args: SendArgs) -> anyhow::Result<()> {
    let mut signature = Signature::new(args.task);
    signature.args =
        value::from_slice(args.args.as_bytes()).context("--args is not a JSON list")?;
    signature.kwargs =
        value::from_slice(args.kwargs.as_bytes()).context("--kwargs is not a JSON object")?;
    signature.options.queue = args.queue;
    let result = app.send(signature).await?;
    match args.wait {
        Some(seconds) => {
            let value: serde_json::Value = result.get(Duration::from_secs(seconds)).await?;
            println!("{}", String::from_utf8_lossy(&value::to_vec(&value)?));
        }
        None => println!("{}", result.id()),
    }
    Ok(())
}
