//! `beat`: sends the entries of `beat_schedule` to the broker.

mod entry;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use celeriac::Shutdown;
use celeriac::beat::{Beat, Registry};
use celeriac::config::BeatScheduler;
use celeriac::pidfile::{self, Pidfile, PidfileError};
use celeriac::schedule::Rules;
use celeriac::{App, Config, Settings, log};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use serde::de::IntoDeserializer;

use entry::NewEntry;

/// Sends periodic tasks when they are due.
///
/// Without a command it runs: it sends the entries of beat_schedule, and those
/// that `beat add` has added, until it is told to end (SIGTERM or SIGINT).
/// The other commands show and change the schedule of the beats that run,
/// which see a change within seconds. All read the same configuration.
///
/// With beat_scheduler = "shared" in the configuration, any number of beats on
/// any machines share their schedule through the broker: one of them sends,
/// and another takes over within seconds of its death. Otherwise they share it
/// through a file on one machine.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Options {
    /// The configuration [default: celeryconfig.toml, if it exists]
    #[arg(long, env = "CELERIAC_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Where beats keep their schedule: persistent (a file) or shared (the
    /// broker) [default: beat_scheduler]
    #[arg(short = 'S', long, global = true, value_parser = scheduler)]
    scheduler: Option<BeatScheduler>,
    /// The file of the persistent scheduler [default: beat_schedule_filename]
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "scheduler"
    )]
    schedule: Option<PathBuf>,
    /// How much is logged; RUST_LOG wins over it
    #[arg(
        short,
        long,
        global = true,
        value_parser = log::LEVELS,
        ignore_case = true,
        default_value = "info"
    )]
    loglevel: String,
    /// Look at the schedule at least every so many seconds [default:
    /// beat_max_loop_interval]
    #[arg(long, value_name = "SECONDS")]
    max_interval: Option<u32>,
    /// Write the process's id here, and refuse to run while the process there
    /// lives
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Show every entry: its schedule, its last run, and whether it is paused
    List {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Add an entry, or replace one that was added before
    Add(NewEntry),
    /// Skip an entry's runs until it is resumed
    Pause {
        /// The entry
        name: String,
    },
    /// Let an entry run again; what was skipped is not made up for
    Resume {
        /// The entry
        name: String,
    },
    /// Send an entry's task now, whatever its schedule says
    Run {
        /// The entry
        name: String,
    },
    /// Remove an entry that was added
    Remove {
        /// The entry
        name: String,
    },
    /// Show when every entry runs next
    Check {
        /// How many runs of each
        #[arg(short = 'n', long, default_value_t = 10)]
        runs: usize,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    log::init_at(&cli.options.loglevel);
    let app = App::new(settings(&cli.options)?)?;
    match cli.command {
        None => run(app, &cli.options).await,
        Some(command) => obey(app, command).await.map(|()| ExitCode::SUCCESS),
    }
}

/// The configuration with the options laid over it.
fn settings(options: &Options) -> anyhow::Result<Settings> {
    let sections = ["api", "store", "ingest", "insights"];
    let config = Config::load(options.config.as_deref(), &sections)?;
    let mut settings = config.settings().clone();
    if let Some(scheduler) = options.scheduler {
        settings.beat_scheduler = scheduler;
    }
    if let Some(path) = &options.schedule {
        settings.beat_scheduler = BeatScheduler::Persistent;
        settings.beat_schedule_filename = path.to_string_lossy().into_owned();
    }
    if let Some(seconds) = options.max_interval {
        settings.beat_max_loop_interval = seconds.into();
    }
    Ok(settings)
}

fn scheduler(name: &str) -> Result<BeatScheduler, serde::de::value::Error> {
    BeatScheduler::deserialize(name.into_deserializer())
}

async fn run(app: App, options: &Options) -> anyhow::Result<ExitCode> {
    let _pidfile = match options.pidfile.as_deref().map(Pidfile::create).transpose() {
        Err(locked @ PidfileError::Locked { .. }) => {
            eprintln!("ERROR: {locked}");
            return Ok(ExitCode::from(pidfile::LOCKED));
        }
        pidfile => pidfile?,
    };
    let shutdown = Shutdown::on_signals(Duration::ZERO)?;
    Beat::new(app)?.run(&shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

async fn obey(app: App, command: Command) -> anyhow::Result<()> {
    let rules = Rules::of(app.settings());
    let registry = Registry::new(app)?;
    match command {
        Command::List { json } => show::list(&registry.list().await?, json, rules)?,
        Command::Check { runs } => {
            let entries = registry.list().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot tell the last runs");
                registry.configured()
            });
            show::check(&entries, runs, rules);
        }
        Command::Add(new) => {
            let (name, entry) = new.entry()?;
            registry.add(&name, entry).await?;
        }
        Command::Pause { name } => registry.pause(&name, true).await?,
        Command::Resume { name } => registry.pause(&name, false).await?,
        Command::Remove { name } => registry.remove(&name).await?,
        Command::Run { name } => {
            println!("{}", registry.run(&name).await?.id());
            celeriac::trace::flush().await;
        }
    }
    Ok(())
}
