//! The command line of the `workers` binary.

use std::path::PathBuf;

use celeriac::command::WorkerArgs;
use clap::{Args, Parser, Subcommand};

/// Runs the tasks of the call-analytics service.
///
/// Without a command it is a worker.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// The configuration [default: celeryconfig.toml, if it exists]
    #[arg(long, env = "CELERIAC_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to be a worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs tasks until told to end; the same as no command
    Worker(Box<WorkerArgs>),
    /// Sends a task, as `celery call` does
    Send(SendArgs),
    /// Asks whether the worker is alive; for health checks
    Ping {
        /// Its nodename [default: celery@HOST]
        #[arg(short = 'n', long)]
        hostname: Option<String>,
    },
    /// Prints a Python module that calls the tasks, for the teams that send them
    Stubs {
        /// Only the tasks of this module, as its functions: `insights`
        module: Option<String>,
    },
    /// Handles the messages that no worker could run
    DeadLetter {
        /// What to do with them.
        #[command(subcommand)]
        command: DeadLetterCommand,
    },
}

/// What there is to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// Lists them, the newest first: id, date, queue, task and reason
    List,
    /// Prints one of them, whole
    Show {
        /// Its id, or how it begins
        id: String,
    },
    /// Puts them back into their queues
    Requeue(Chosen),
    /// Deletes them for good
    Drop(Chosen),
}

/// Some dead letters.
#[derive(Debug, Args)]
#[group(required = true)]
pub struct Chosen {
    /// Their ids, or how these begin
    pub ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}

/// What to send.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The task's name
    pub task: String,
    /// Positional arguments, a JSON list
    #[arg(short, long, default_value = "[]")]
    pub args: String,
    /// Keyword arguments, a JSON object
    #[arg(short, long, default_value = "{}")]
    pub kwargs: String,
    /// The queue [default: the task's route]
    #[arg(short = 'Q', long)]
    pub queue: Option<String>,
    /// Waits this many seconds for the result and prints it
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    pub wait: Option<u64>,
}
