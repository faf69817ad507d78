//! A program with the options of `celery worker`, its banner and its exit
//! codes.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use celeriac::command::WorkerArgs;
//! use celeriac::{App, Config, Worker};
//! use clap::Parser;
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     worker: WorkerArgs,
//! }
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<ExitCode> {
//!     let args = Cli::parse().worker;
//!     args.start_log()?;
//!     let mut settings = Config::load(None, &[])?.settings().clone();
//!     args.apply(&mut settings);
//!     let worker = Worker::new(App::new(settings)?);
//!     Ok(args.run(worker).await?)
//! }
//! ```
//!
//! | exit code | why |
//! | --- | --- |
//! | 0 | told to end (TERM, remote control), after what ran has ended |
//! | 1 | an error; INT; a cold shutdown |
//! | 2 | wrong options |
//! | 73 | another process has the pidfile |
//!
//! - `args`: the options
//! - `values`: what some of them take
//! - `run`: from the options to the exit code
//! - `http`: `/health` and `/metrics`

mod args;
mod http;
mod run;
mod values;

pub use args::WorkerArgs;
pub use run::CommandError;
pub use values::{Autoscale, Concurrency, Optimization, Pool, Refused};
