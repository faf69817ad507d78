//! How a child is started.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::{Child as Process, Command};
use tokio::time::timeout;

use super::child::VARIABLE;
use super::lost::human;
use super::wire::{Line, Ready};

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(super) enum StillBorn {
    /// The system refuses to start it.
    #[error("cannot start {program}: {source}", program = .program.display())]
    Refused { program: PathBuf, source: io::Error },
    /// It ended.
    #[error(
        "it ended ({0}) before it could run tasks; `main`, started with the same arguments, must come to `Worker::run`"
    )]
    Ended(String),
    /// It does not say that it is ready.
    #[error(
        "it could not run tasks after {0:?} (worker_proc_alive_timeout); `main`, started with the same arguments, must come to `Worker::run`"
    )]
    Late(Duration),
}

/// Starts this program anew as a child of the `index`th worker in it, and
/// waits until it can run tasks.
pub(super) async fn start(index: usize, alive: Duration) -> Result<(Process, Line), StillBorn> {
    let program = program();
    let (mut process, mut line) =
        spawn(&program, index).map_err(|source| StillBorn::Refused { program, source })?;
    match timeout(alive, line.receive::<Ready>()).await {
        Ok(Some(Ready {})) => Ok((process, line)),
        Ok(None) => {
            let _ = process.start_kill();
            let status = process.wait().await;
            Err(StillBorn::Ended(
                status.map_or_else(|error| error.to_string(), human),
            ))
        }
        Err(_) => {
            // It is waited for, or it would stay a zombie.
            let _ = process.kill().await;
            Err(StillBorn::Late(alive))
        }
    }
}

fn spawn(program: &PathBuf, index: usize) -> io::Result<(Process, Line)> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = OwnedFd::from(theirs);
    let inode = File::from(theirs.try_clone()?).metadata()?.ino();
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let process = command
        .args(arguments)
        .env(VARIABLE, format!("{inode}:{index}"))
        .stdin(theirs)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // The command has the child's end as well: while it is open here, nobody
    // would see that the child is gone.
    drop(command);
    Ok((process, Line::new(ours)?))
}

/// This program, even if another has taken the place of its file meanwhile.
fn program() -> PathBuf {
    let itself = PathBuf::from("/proc/self/exe");
    let identity =
        |path: &PathBuf| Some((path.metadata().ok()?.dev(), path.metadata().ok()?.ino()));
    match std::env::current_exe() {
        Ok(named) if identity(&itself).is_none_or(|this| identity(&named) == Some(this)) => named,
        _ => itself,
    }
}
