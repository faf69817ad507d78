//! What a worker knows over a restart (`celery.worker.state.Persistent`): which
//! tasks are revoked, since when, and the time of its logical clock.
//!
//! One JSON file, written whole or not at all. Python's is a shelve of pickles,
//! which Rust does not read; and it is written only at the end.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::Shared;
use crate::durable;
use crate::error::Error;
use crate::nodename;

/// What has been revoked is on disk after so long.
const PERIOD: Duration = Duration::from_secs(1);

/// The file's content.
#[derive(Default, Deserialize, Serialize)]
struct State {
    clock: u64,
    revoked: Vec<RevokedTask>,
}

/// An id and when it was revoked, seconds since 1970.
#[derive(Deserialize, Serialize)]
struct RevokedTask {
    id: Arc<str>,
    at: f64,
}

/// The file of a worker that runs.
pub(super) struct StateDb {
    path: PathBuf,
    /// Another worker that had it, too, would overwrite what this one knows.
    /// Within this one, held while it is written.
    lock: Mutex<File>,
}

impl StateDb {
    /// Takes over what the file of `worker_state_db` says, if there is to be
    /// one.
    pub fn open(shared: &Shared) -> Result<Option<Arc<Self>>, Error> {
        let Some(template) = &shared.app.settings().worker_state_db else {
            return Ok(None);
        };
        let path = nodename::node_format(template, &shared.nodename)
            .map_err(|error| wrong(Path::new(template), error))?;
        let path = PathBuf::from(path);
        let lock = lock(&path).map_err(|error| wrong(&path, error))?;
        let state = read(&path).map_err(|error| wrong(&path, error))?;
        let now = now();
        let known = state.revoked.into_iter().map(|revoked| {
            let age = Duration::try_from_secs_f64(now - revoked.at);
            (revoked.id, age.unwrap_or_default())
        });
        shared.revoked.restore(known);
        shared.app.clock().adjust(state.clock);
        let lock = Mutex::new(lock);
        let state_db = Self { path, lock };
        // What cannot be written is known before anything is lost.
        state_db.write(shared)?;
        Ok(Some(Arc::new(state_db)))
    }

    /// Writes what has been revoked, again and again, until aborted.
    pub async fn keep(self: Arc<Self>, shared: Arc<Shared>) {
        let mut written = shared.revoked.count();
        loop {
            sleep(PERIOD).await;
            let count = shared.revoked.count();
            if count != written && self.save(&shared).await {
                written = count;
            }
        }
    }

    /// Writes it now; whether it could.
    pub async fn save(self: &Arc<Self>, shared: &Arc<Shared>) -> bool {
        let (state_db, shared) = (Arc::clone(self), Arc::clone(shared));
        let write = move || state_db.write(&shared);
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!("{error}");
                false
            }
            // The runtime ends.
            Err(_) => false,
        }
    }

    fn write(&self, shared: &Shared) -> Result<(), Error> {
        let _alone = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let revoked = |(id, age): (Arc<str>, Duration)| RevokedTask {
            id,
            at: now - age.as_secs_f64(),
        };
        let state = State {
            clock: shared.app.clock().forward(),
            revoked: shared.revoked.ages().into_iter().map(revoked).collect(),
        };
        durable::write(&self.path, &state).map_err(|error| wrong(&self.path, error))
    }
}

fn wrong(path: &Path, reason: impl ToString) -> Error {
    Error::StateDb {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn read(path: &Path) -> Result<State, String> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| format!("is no state of a worker ({error})")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(error.to_string()),
    }
}

/// Locks a file beside it, as long as the worker lives.
fn lock(path: &Path) -> Result<File, String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = File::create(name).map_err(|error| error.to_string())?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err("another worker has it".to_owned()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::App;
    use crate::config::Settings;
    use crate::shutdown::Shutdown;
    use crate::worker::Worker;

    fn worker(path: &Path) -> Result<Arc<Shared>, Error> {
        let app = App::new(Settings {
            worker_state_db: Some(format!("{}/%n.json", path.display())),
            ..Settings::default()
        })?;
        let worker = Worker::new(app).nodename("w1@test");
        Ok(Arc::new(worker.share(0, Shutdown::new())?))
    }

    #[tokio::test]
    async fn the_next_worker_knows_what_this_one_knew() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let first = worker(directory.path())?;
        let state_db = StateDb::open(&first)?.ok_or("none")?;
        first.revoked.add(["one", "two"]);
        first.app.clock().adjust(41);
        assert!(state_db.save(&first).await);
        let second = worker(directory.path())?;
        let refused = StateDb::open(&second).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|error| error.contains("another worker has it")));
        drop(state_db);
        StateDb::open(&second)?;
        assert_eq!(second.revoked.ids(), first.revoked.ids());
        assert!(second.app.clock().value() > 43);
        Ok(())
    }

    #[tokio::test]
    async fn age_counts_over_a_restart() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let (old, new) = (now() - 100_000.0, now());
        let text = format!(
            r#"{{"clock":1,"revoked":[{{"id":"old","at":{old}}},{{"id":"new","at":{new}}}]}}"#
        );
        std::fs::write(directory.path().join("w1.json"), text)?;
        let shared = worker(directory.path())?;
        StateDb::open(&shared)?;
        assert_eq!(shared.revoked.ids(), [Arc::<str>::from("new")]);
        Ok(())
    }

    #[tokio::test]
    async fn a_file_of_another_kind_is_left_alone() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("w1.json");
        std::fs::write(&path, "shelve")?;
        let shared = worker(directory.path())?;
        assert!(StateDb::open(&shared).is_err());
        assert_eq!(std::fs::read(&path)?, b"shelve");
        Ok(())
    }
}
