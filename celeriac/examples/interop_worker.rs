//! A worker whose tasks show what Celery can do, so that any client can
//! exercise Celeriac from outside:
//!
//! ```console
//! $ cargo run --release -p celeriac --features command --example interop_worker -- \
//!       --broker redis://localhost/0 --backend redis://localhost/0 -n rust@host -c 8 -Q celery
//! ```
//!
//! Its tasks are called `t.integration.tasks.NAME`; a few that are written
//! with rusty-celery's macro are called `rusty.NAME`, and those that show
//! `#[celeriac::task]`, `native.NAME`, those of child processes,
//! `processes.NAME`. With `stubs` it prints them as a Python
//! module.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use celeriac::command::WorkerArgs;
use celeriac::config::Route;
use celeriac::task::{SignatureError, Task};
use celeriac::{App, Config, Signature, Worker};
use clap::{Parser, Subcommand};

/// The tasks, a module for each family.
mod interop_worker {
    pub mod arithmetic;
    pub mod canvas;
    pub mod effects;
    pub mod failures;
    pub mod limits;
    pub mod native;
    pub mod processes;
    pub mod python;
    pub mod replacements;
    pub mod requests;
    pub mod retries;
    pub mod rusty;
    pub mod values;
}
use interop_worker::{
    arithmetic, canvas, effects, failures, limits, native, processes, replacements, requests,
    retries, rusty, values,
};

/// Runs Celery's integration tasks in Rust.
#[derive(Parser)]
struct Options {
    /// A celeryconfig.toml.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to be a worker.
    #[command(flatten)]
    worker: WorkerArgs,
    /// Something else than to work.
    #[command(subcommand)]
    command: Option<Command>,
}

/// What there is to do besides.
#[derive(Subcommand)]
enum Command {
    /// Prints a Python module that calls the tasks
    Stubs {
        /// Only those of this module, as its functions
        module: Option<String>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    options.worker.start_log()?;
    let config = Config::load(options.config.as_deref(), &[])?;
    let mut settings = config.settings().clone();
    settings.result_extended = true;
    options.worker.apply(&mut settings);
    let worker = Worker::new(App::new(settings)?.with_router(by_argument))
        .tasks(tasks()?)
        .state(Arc::new(effects::connect()?))
        .state(Arc::new(retries::Attempts::default()));
    if let Some(Command::Stubs { module }) = options.command {
        print!("{}", worker.stubs(module.as_deref()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(options.worker.run(worker).await?)
}

/// A call whose first argument is `{"by_router": QUEUE}` goes there.
fn by_argument(call: &Signature) -> Option<Route> {
    Some(call.args.first()?.get("by_router")?.as_str()?.into())
}

fn tasks() -> Result<Vec<Task>, SignatureError> {
    let families = [
        arithmetic::tasks(),
        canvas::tasks()?,
        effects::tasks()?,
        failures::tasks()?,
        limits::tasks()?,
        native::tasks().into(),
        processes::tasks().into(),
        replacements::tasks()?,
        requests::tasks()?,
        retries::tasks()?,
        rusty::tasks(),
        values::tasks().into(),
    ];
    Ok(families.into_iter().flatten().collect())
}
