//! The file that holds a process's id (`celery.platforms.Pidfile`).

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// What a program ends with whose pidfile another process has (`EX_CANTCREAT`).
pub const LOCKED: u8 = 73;

/// Why there is no pidfile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PidfileError {
    /// Another process has it.
    #[error("the pidfile {path} is that of process {pid}, which runs: end it first, or name another file", path = .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// It can be neither read nor written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A process's own file. Removed when dropped.
#[derive(Debug)]
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Creates it; a broken one, and one whose process has ended, is replaced.
    ///
    /// # Errors
    /// [`PidfileError::Locked`] while the process in it lives.
    pub fn create(path: &Path) -> Result<Self, PidfileError> {
        let failed = |source| PidfileError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(pid) = holder(path).map_err(failed)? {
            let path = path.to_owned();
            let pid = pid.as_raw();
            return Err(PidfileError::Locked { path, pid });
        }
        let write = || writeln!(File::create_new(path)?, "{}", std::process::id());
        write().map_err(failed)?;
        Ok(Self(path.to_owned()))
    }
}

/// The process that has the file. Without one the file is removed.
fn holder(path: &Path) -> io::Result<Option<Pid>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match text.trim().parse().map(Pid::from_raw) {
        Ok(pid) if lives(pid) => return Ok(Some(pid)),
        Ok(_) => tracing::warn!(
            "the process of {} has ended: its pidfile is replaced",
            path.display()
        ),
        Err(_) => tracing::warn!("{} holds no process id: it is replaced", path.display()),
    }
    std::fs::remove_file(path)?;
    Ok(None)
}

/// Whether another process has this id. In a container a predecessor may have
/// had this very one.
fn lives(pid: Pid) -> bool {
    let dead = [Err(Errno::ESRCH), Err(Errno::EPERM)];
    pid.as_raw() > 0 && pid != Pid::this() && !dead.contains(&kill(pid, None))
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, "cannot remove {}", self.0.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_keeps_its_file() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("x.pid");
        let parent = std::os::unix::process::parent_id();
        std::fs::write(&path, format!("{parent}\n"))?;
        let refused = Pidfile::create(&path);
        assert!(matches!(refused, Err(PidfileError::Locked { pid, .. }) if pid as u32 == parent));
        Ok(())
    }

    #[test]
    fn what_nobody_has_is_replaced() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("x.pid");
        for stale in ["no number\n", "", "0\n", "999999999\n"] {
            std::fs::write(&path, stale)?;
            let pidfile = Pidfile::create(&path)?;
            let own = format!("{}\n", std::process::id());
            assert_eq!(std::fs::read_to_string(&path)?, own, "{stale:?}");
            drop(pidfile);
            assert!(!path.exists());
        }
        Ok(())
    }
}
