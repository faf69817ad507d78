//! From the options to the exit code.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::{WorkerArgs, http};
use crate::nodename::{UnknownKey, default_nodename, node_format};
use crate::pidfile::{self, Pidfile, PidfileError};
use crate::shutdown::Shutdown;
use crate::worker::{cry_on_usr1, is_child};
use crate::{Error, Worker, log};

/// What is left to do after the worker may take so long.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a worker's program cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A file's name cannot be expanded.
    #[error(transparent)]
    Name(#[from] UnknownKey),
    /// The log's file cannot be opened.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pidfile cannot be written.
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    /// Nothing can be answered at this address.
    #[error("cannot listen on {address}: {source}")]
    Http {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program cannot be started again after HUP.
    #[error("cannot start again: {0}")]
    Restart(io::Error),
    /// The worker cannot work.
    #[error(transparent)]
    Worker(#[from] Error),
}

impl WorkerArgs {
    /// Starts the log as `-l` and `-f` say.
    ///
    /// # Errors
    /// [`CommandError::Log`] when its file cannot be opened.
    pub fn start_log(&self) -> Result<(), CommandError> {
        let level = &self.loglevel;
        let Some(logfile) = &self.logfile else {
            log::init_at(level);
            return Ok(());
        };
        let nodename = self.hostname.clone();
        let nodename = nodename.unwrap_or_else(|| default_nodename(None));
        let path = PathBuf::from(node_format(logfile, &nodename)?);
        log::init_to(level, &path).map_err(|source| CommandError::Log { path, source })
    }

    /// Sets up the worker and runs it until the process is told to end; what
    /// the process is to end with.
    ///
    /// # Errors
    /// What makes work impossible. A process ends with 1 then.
    pub async fn run(&self, worker: Worker) -> Result<ExitCode, CommandError> {
        let worker = self.set_up(worker);
        if is_child() {
            // What else a program does, its worker has done.
            worker.run().await?;
            return Ok(ExitCode::SUCCESS);
        }
        let pidfile = match self.lock(&worker) {
            Err(CommandError::Pidfile(locked @ PidfileError::Locked { .. })) => {
                eprintln!("ERROR: {locked}");
                return Ok(ExitCode::from(pidfile::LOCKED));
            }
            pidfile => pidfile?,
        };
        let settings = worker.app().settings();
        let soft = Duration::try_from_secs_f64(settings.worker_soft_shutdown_timeout);
        let http = settings.worker_http.as_deref();
        // Answered for as long as this lives.
        let answering = http
            .map(|address| http::serve(address, &worker))
            .transpose()?;
        if self.purge {
            purge(&worker).await?;
        }
        self.greet(&worker);
        cry_on_usr1(worker.monitor()).map_err(Error::io("cannot listen to USR1"))?;
        let shutdown = Shutdown::on_signals_or_hangup(soft.unwrap_or_default())?;
        let ended = worker.run_until(shutdown.clone()).await;
        if ended.is_ok() && shutdown.is_restart() {
            // What takes this process's place has both of its own.
            drop((pidfile, answering));
            return Err(CommandError::Restart(start_again()));
        }
        let well = ended.is_ok() && !shutdown.is_interrupted();
        insist_on_the_end(well);
        match ended {
            Ok(()) if well => Ok(ExitCode::SUCCESS),
            Ok(()) | Err(Error::ColdShutdown) => Ok(ExitCode::FAILURE),
            Err(error) => Err(error.into()),
        }
    }

    fn lock(&self, worker: &Worker) -> Result<Option<Pidfile>, CommandError> {
        let Some(template) = &self.pidfile else {
            return Ok(None);
        };
        let path = node_format(template, worker.name())?;
        Ok(Some(Pidfile::create(Path::new(&path))?))
    }

    /// Prints the banner, unless programs are to read what is printed.
    fn greet(&self, worker: &Worker) {
        if !self.quiet && !log::is_json() {
            say(&worker.banner(LevelFilter::current()));
        }
    }
}

/// Ends the process a moment later even if a function that blocks still runs:
/// a runtime waits for it without end.
fn insist_on_the_end(well: bool) {
    std::thread::spawn(move || {
        std::thread::sleep(FAREWELL);
        std::process::exit(i32::from(!well));
    });
}

/// Has the program that was called, which may be a newer one by now, take this
/// process's place, with the same arguments; returns only if it cannot.
fn start_again() -> io::Error {
    let mut words = std::env::args_os();
    Command::new(words.next().unwrap_or_default())
        .args(words)
        .exec()
}

async fn purge(worker: &Worker) -> Result<(), Error> {
    let erased = worker.purge().await?;
    if erased > 0 {
        let messages = if erased == 1 { "message" } else { "messages" };
        say(&format!(
            "purge: Erased {erased} {messages} from the queue.\n"
        ));
    }
    Ok(())
}

/// Prints to standard output, which may be closed.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
