//! What beat remembers between starts: `celerybeat-schedule`, as JSON.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An entry's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LastRun {
    /// When it was last due; for an entry that has never run, when it was first seen.
    pub last_run_at: DateTime<Utc>,
    /// How often it has run.
    pub total_run_count: u64,
}

/// The histories of all entries, in a file.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    entries: BTreeMap<String, LastRun>,
}

impl State {
    /// Reads the file; a file that cannot be read is moved aside, so that
    /// beat begins anew rather than not at all.
    pub fn open(path: PathBuf) -> std::io::Result<Self> {
        let entries = match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(entries) => entries,
                Err(error) => {
                    let aside = path.with_extension("broken");
                    tracing::error!(%error, path = %path.display(), "cannot read beat's state; moved to {}", aside.display());
                    std::fs::rename(&path, aside)?;
                    BTreeMap::new()
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, entries })
    }

    /// An entry's history, which begins `now` if it has none.
    pub fn of(&mut self, entry: &str, now: DateTime<Utc>) -> &mut LastRun {
        let unknown = || LastRun {
            last_run_at: now,
            total_run_count: 0,
        };
        self.entries.entry(entry.to_owned()).or_insert_with(unknown)
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self) -> std::io::Result<()> {
        let parent = self
            .path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            std::fs::create_dir_all(parent)?;
        }
        let draft = self.path.with_extension("draft");
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(&self.entries)?)?;
        file.sync_all()?;
        std::fs::rename(draft, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_back_and_a_broken_file_is_moved_aside() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("beat/state.json");
        let now = Utc::now();
        let mut state = State::open(path.clone())?;
        state.of("e", now).total_run_count = 3;
        state.save()?;
        assert_eq!(
            State::open(path.clone())?
                .of("e", Utc::now())
                .total_run_count,
            3
        );
        std::fs::write(&path, "{")?;
        assert_eq!(State::open(path.clone())?.of("e", now).total_run_count, 0);
        assert!(path.with_extension("broken").exists());
        Ok(())
    }
}
