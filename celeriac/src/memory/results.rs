//! Results in this process (`celery/backends/cache.py`, `cache+memory://`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Shared;
use crate::error::Error;
use crate::results::chord::{ChordPart, ChordProgress, ChordStore, StoredPart};
use crate::results::{GroupStore, Lookup, ResultStore, TaskMeta, states};

static BACKENDS: Shared<MemoryResults> = Shared::new();

/// Results in this process: `cache+memory://`. Cheap to clone; a clone is the
/// same backend. They do not expire.
///
/// ```
/// use std::sync::Arc;
/// use celeriac::memory::{MemoryBroker, MemoryResults};
/// use celeriac::{App, Settings, Signature};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), celeriac::Error> {
/// let app = App::new(Settings::default())?
///     .with_broker(Arc::new(MemoryBroker::new()))
///     .with_results(Arc::new(MemoryResults::new()));
/// let result = app.send(Signature::new("tasks.add").arg(2).arg(2)).await?;
/// assert_eq!(result.state().await?, "PENDING");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct MemoryResults(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: Mutex<Kept>,
    /// Is told whenever something is stored.
    stored: watch::Sender<()>,
}

#[derive(Default)]
struct Kept {
    tasks: HashMap<String, TaskMeta>,
    groups: HashMap<String, Value>,
    chords: HashMap<String, Chord>,
}

/// What a chord is counted by.
#[derive(Default)]
struct Chord {
    size: Option<u64>,
    /// Members that were added to it.
    added: HashSet<String>,
    /// Those that have ended, by their places and ids.
    parts: BTreeMap<(u64, String), StoredPart>,
    claim: Claim,
}

/// Which worker runs the body.
#[derive(Default, PartialEq)]
enum Claim {
    #[default]
    Free,
    By(String),
    Done,
}

impl Chord {
    fn is_complete(&self) -> bool {
        let size = self.size.map(|size| size + self.added.len() as u64);
        size == Some(self.parts.len() as u64)
    }
}

impl MemoryResults {
    /// Results that nobody else sees.
    pub fn new() -> Self {
        Self::default()
    }

    /// The results that all who name this address share.
    pub fn at(url: &str) -> Self {
        BACKENDS.at(url)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a task that has ended.
    fn ended(&self, task_id: &str) -> Option<TaskMeta> {
        let kept = self.kept();
        let meta = kept.tasks.get(task_id);
        meta.filter(|meta| states::is_ready(&meta.status)).cloned()
    }
}

#[async_trait]
impl ResultStore for MemoryResults {
    async fn store(&self, meta: &TaskMeta) -> Result<(), Error> {
        {
            let mut kept = self.kept();
            let known = kept.tasks.get(&meta.task_id);
            if known.is_some_and(|known| known.status == states::SUCCESS) {
                return Ok(());
            }
            kept.tasks.insert(meta.task_id.clone(), meta.clone());
        }
        self.0.stored.send_replace(());
        Ok(())
    }

    async fn wait(&self, task_id: &str, patience: Duration) -> Result<TaskMeta, Error> {
        let mut stored = self.0.stored.subscribe();
        let ended = async {
            loop {
                if let Some(meta) = self.ended(task_id) {
                    return meta;
                }
                // Its sender is here: it does not end.
                let _ = stored.changed().await;
            }
        };
        let ended = timeout(patience, ended).await;
        ended.map_err(|_| Error::Timeout(patience))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        Some(self)
    }

    fn chords(&self) -> Option<&dyn ChordStore> {
        Some(self)
    }

    fn groups(&self) -> Option<&dyn GroupStore> {
        Some(self)
    }
}

#[async_trait]
impl Lookup for MemoryResults {
    async fn get(&self, task_id: &str) -> Result<Option<TaskMeta>, Error> {
        Ok(self.kept().tasks.get(task_id).cloned())
    }

    async fn forget(&self, task_id: &str) -> Result<(), Error> {
        self.kept().tasks.remove(task_id);
        Ok(())
    }
}

#[async_trait]
impl GroupStore for MemoryResults {
    async fn save_group(&self, group_id: &str, tuple: &Value) -> Result<(), Error> {
        let mut kept = self.kept();
        kept.groups.insert(group_id.to_owned(), tuple.clone());
        Ok(())
    }

    async fn restore_group(&self, group_id: &str) -> Result<Option<Value>, Error> {
        Ok(self.kept().groups.get(group_id).cloned())
    }

    async fn forget_group(&self, group_id: &str) -> Result<(), Error> {
        self.kept().groups.remove(group_id);
        Ok(())
    }
}

#[async_trait]
impl ChordStore for MemoryResults {
    async fn set_chord_size(&self, group_id: &str, size: u64) -> Result<(), Error> {
        let mut kept = self.kept();
        let chord = kept.chords.entry(group_id.to_owned()).or_default();
        chord.size = Some(size);
        // The same canvas sent again is a new run.
        chord.claim = Claim::Free;
        Ok(())
    }

    async fn add_to_chord(&self, group_id: &str, task_id: &str) -> Result<(), Error> {
        let mut kept = self.kept();
        let chord = kept.chords.entry(group_id.to_owned()).or_default();
        chord.added.insert(task_id.to_owned());
        Ok(())
    }

    async fn chord_part(&self, part: &ChordPart<'_>) -> Result<ChordProgress, Error> {
        let mut kept = self.kept();
        let chord = kept.chords.entry(part.group_id.to_owned()).or_default();
        let place = (part.index.unwrap_or(u64::MAX), part.task_id.to_owned());
        chord.parts.entry(place).or_insert_with(|| StoredPart {
            task_id: part.task_id.to_owned(),
            state: part.state.to_owned(),
            result: part.result.clone(),
        });
        if !chord.is_complete() {
            return Ok(ChordProgress::Waiting);
        }
        Ok(match &chord.claim {
            Claim::Done => ChordProgress::Waiting,
            Claim::By(token) if token != part.token => ChordProgress::Claimed,
            Claim::Free | Claim::By(_) => {
                chord.claim = Claim::By(part.token.to_owned());
                ChordProgress::Complete
            }
        })
    }

    async fn chord_parts(&self, group_id: &str) -> Result<Vec<StoredPart>, Error> {
        let kept = self.kept();
        let chord = kept.chords.get(group_id);
        Ok(chord.map_or_else(Vec::new, |chord| chord.parts.values().cloned().collect()))
    }

    async fn hold_chord(&self, group_id: &str, token: &str) -> Result<bool, Error> {
        let kept = self.kept();
        let chord = kept.chords.get(group_id);
        Ok(chord.is_some_and(|chord| chord.claim == Claim::By(token.to_owned())))
    }

    async fn finish_chord(&self, group_id: &str, token: &str) -> Result<(), Error> {
        let mut kept = self.kept();
        if let Some(chord) = kept.chords.get_mut(group_id)
            && chord.claim == Claim::By(token.to_owned())
        {
            *chord = Chord {
                claim: Claim::Done,
                ..Chord::default()
            };
        }
        Ok(())
    }

    async fn fail_chord(&self, group_id: &str) -> Result<(), Error> {
        if let Some(chord) = self.kept().chords.get_mut(group_id) {
            chord.size = None;
        }
        Ok(())
    }
}
