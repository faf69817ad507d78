//! The file that holds the process's id (`celery.platforms.Pidfile`).

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Removed when dropped.
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Creates it; one whose process has ended is replaced.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        if let Some(pid) = holder(path)? {
            bail!(
                "Pidfile ({}) already exists: process {pid} runs",
                path.display()
            );
        }
        let wrong = || format!("cannot write {}", path.display());
        let mut file = File::create_new(path).with_context(wrong)?;
        writeln!(file, "{}", std::process::id()).with_context(wrong)?;
        Ok(Self(path.to_owned()))
    }
}

/// The process that has the file. Without one the file is removed.
fn holder(path: &Path) -> anyhow::Result<Option<Pid>> {
    let wrong = || format!("cannot read {}", path.display());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(wrong),
    };
    let pid = Pid::from_raw(text.trim().parse().with_context(wrong)?);
    if pid != Pid::this() && kill(pid, None) != Err(Errno::ESRCH) {
        return Ok(Some(pid));
    }
    std::fs::remove_file(path)?;
    Ok(None)
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "cannot remove {}", self.0.display());
        }
    }
}
