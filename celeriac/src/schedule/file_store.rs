//! A schedule's state in files, for the beats of one machine.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `<name>` | histories, and what is being sent; the leader's |
//! | `<name>.changes` | what has been said at run time |
//! | `<name>.lock` | locked by the leader as long as it lives |
//! | `<name>.changes.lock` | locked while a change is written |

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store::{Change, History, Lead, Memory, ScheduleStore, Turn};
use crate::broker::ExchangeType;
use crate::broker::{Binding, Broker, Outgoing};
use crate::canvas::new_id;
use crate::durable::{parent, write};
use crate::error::Error;
use crate::message::Message;

/// Celery's `PersistentScheduler`, with JSON for its shelve.
pub struct FileStore {
    path: PathBuf,
    broker: Arc<dyn Broker>,
    /// There while this beat leads.
    reign: Mutex<Option<Reign>>,
}

/// What only a leader has.
struct Reign {
    fence: String,
    /// The lock ends with it.
    _lock: File,
    document: Document,
}

/// The leader's file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
struct Document {
    /// Tells this file from all others, for [`Journal`](crate::broker::Journal).
    journal: String,
    /// Counts what has been in the outbox.
    number: u64,
    zone: Option<String>,
    entries: BTreeMap<String, History>,
    /// What may not have been published yet.
    outbox: Vec<Letter>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            journal: new_id(),
            number: 0,
            zone: None,
            entries: BTreeMap::new(),
            outbox: Vec::new(),
        }
    }
}

/// A message on its way.
#[derive(Clone, Serialize, Deserialize)]
struct Letter {
    queue: String,
    #[serde(default)]
    exchange_type: ExchangeType,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    declares: Vec<Binding>,
    message: Message,
    id: Uuid,
}

impl FileStore {
    /// The store at `path`; what is due goes to `broker`.
    pub fn new(path: impl Into<PathBuf>, broker: Arc<dyn Broker>) -> Self {
        Self {
            path: path.into(),
            broker,
            reign: Mutex::default(),
        }
    }

    /// The file beside it with this ending.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    /// What becomes of the system's refusal to read or write its files.
    fn failed(&self) -> impl FnOnce(io::Error) -> Error {
        Error::io(format!("beat's state in {}", self.path.display()))
    }

    fn lock(&self, ending: &str) -> io::Result<File> {
        if let Some(parent) = parent(&self.path) {
            std::fs::create_dir_all(parent)?;
        }
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        options.open(self.beside(ending))
    }

    fn reign(&self) -> std::sync::MutexGuard<'_, Option<Reign>> {
        self.reign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_lead(&self) -> io::Result<Option<Lead>> {
        let mut reign = self.reign();
        if reign.is_none() {
            let lock = self.lock(".lock")?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            *reign = Some(Reign {
                fence: new_id(),
                _lock: lock,
                document: read(&self.path)?,
            });
        }
        self.show_life()?;
        let revision = modified(&self.beside(".changes"))?;
        Ok(reign.as_ref().map(|reign| Lead {
            fence: reign.fence.clone(),
            revision,
        }))
    }

    /// Health checks look at the file's age.
    fn show_life(&self) -> io::Result<()> {
        match File::options().write(true).open(&self.path) {
            Ok(file) => file.set_modified(SystemTime::now()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes the leader's file, whole or not at all. `false` for who leads no more.
    fn update(&self, lead: &Lead, change: impl FnOnce(&mut Document)) -> io::Result<bool> {
        let mut reign = self.reign();
        let Some(reign) = reign.as_mut().filter(|reign| reign.fence == lead.fence) else {
            return Ok(false);
        };
        let mut document = reign.document.clone();
        change(&mut document);
        write(&self.path, &document)?;
        reign.document = document;
        Ok(true)
    }

    /// Writes down what an operator changes; whoever leads reads it.
    fn note(&self, entry: &str, change: &Change) -> io::Result<()> {
        let lock = self.lock(".changes.lock")?;
        lock.lock()?;
        let path = self.beside(".changes");
        let mut changes: BTreeMap<String, Change> = read(&path)?;
        if change.is_empty() {
            changes.remove(entry);
        } else {
            changes.insert(entry.to_owned(), change.clone());
        }
        write(&path, &changes)
    }

    /// Publishes what has this number: once, if the broker remembers numbers.
    async fn publish(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        match self.broker.journal() {
            Some(journals) => journals.publish_once(messages, journal, number).await,
            None => self.broker.publish(messages).await,
        }
    }

    /// Publishes what is in the outbox, and empties it.
    async fn deliver(&self, lead: &Lead) -> Result<bool, Error> {
        let document = match &*self.reign() {
            Some(reign) if reign.fence == lead.fence => reign.document.clone(),
            _ => return Ok(false),
        };
        if document.outbox.is_empty() {
            return Ok(true);
        }
        let messages: Vec<Outgoing> = document.outbox.into_iter().map(Outgoing::from).collect();
        let publish = self.publish(&messages, &document.journal, document.number);
        match publish.await {
            Ok(()) => {}
            Err(error) if error.passes() => return Err(error),
            Err(_) => {
                if !self.deliver_each(lead, &messages).await? {
                    return Ok(false);
                }
            }
        }
        let emptied = self.update(lead, |document| document.outbox.clear());
        emptied.map_err(self.failed())
    }

    /// The same one by one, since one that cannot be sent would keep back the
    /// others: it is given up.
    async fn deliver_each(&self, lead: &Lead, messages: &[Outgoing]) -> Result<bool, Error> {
        let mut place = (String::new(), 0);
        let numbered = self.update(lead, |document| {
            place = (document.journal.clone(), document.number);
            document.number += messages.len() as u64;
        });
        let numbered = numbered.map_err(self.failed())?;
        let (journal, before) = place;
        for (number, message) in (before + 1..).zip(messages) {
            let one = std::slice::from_ref(message);
            match self.publish(one, &journal, number).await {
                Err(error) if error.passes() => return Err(error),
                Err(error) => {
                    let headers = &message.message.headers;
                    let (id, task, queue) = (&headers.id, &headers.task, &message.queue);
                    tracing::error!(%error, id, queue, "beat: Cannot send {task}: this run is skipped");
                }
                Ok(()) => {}
            }
        }
        Ok(numbered)
    }
}

#[async_trait]
impl ScheduleStore for FileStore {
    async fn now(&self) -> Result<DateTime<Utc>, Error> {
        Ok(Utc::now())
    }

    async fn lead(&self) -> Result<Option<Lead>, Error> {
        let lead = self.take_lead().map_err(self.failed())?;
        if let Some(lead) = &lead {
            self.deliver(lead).await?;
        }
        Ok(lead)
    }

    async fn resign(&self, _: &Lead) -> Result<(), Error> {
        self.reign().take();
        Ok(())
    }

    async fn memory(&self) -> Result<Memory, Error> {
        let document: Document = match &*self.reign() {
            Some(reign) => reign.document.clone(),
            None => read(&self.path).map_err(self.failed())?,
        };
        Ok(Memory {
            histories: document.entries,
            zone: document.zone,
        })
    }

    async fn forget(&self, lead: &Lead, entries: &[String], zone: &str) -> Result<bool, Error> {
        let updated = self.update(lead, |document| {
            document.entries.retain(|name, _| !entries.contains(name));
            document.zone = Some(zone.to_owned());
        });
        updated.map_err(self.failed())
    }

    async fn commit(&self, lead: &Lead, turns: &[Turn]) -> Result<bool, Error> {
        // What has a number already gets no other.
        if !self.deliver(lead).await? {
            return Ok(false);
        }
        let mut fits = true;
        let updated = self.update(lead, |document| {
            let knows = |turn: &Turn, history| document.entries.get(&turn.entry) == history;
            // Tried before, and published.
            if turns.iter().all(|turn| knows(turn, Some(&turn.history))) {
                return;
            }
            fits = turns.iter().all(|turn| knows(turn, turn.before.as_ref()));
            document.number += 1;
            for turn in turns.iter().filter(|_| fits) {
                let history = turn.history.clone();
                document.entries.insert(turn.entry.clone(), history);
                let letters = turn.messages.iter().map(Letter::from);
                document.outbox.extend(letters);
            }
        });
        let updated = updated.map_err(self.failed())?;
        Ok(updated && fits && self.deliver(lead).await?)
    }

    async fn changes(&self) -> Result<BTreeMap<String, Change>, Error> {
        read(&self.beside(".changes")).map_err(self.failed())
    }

    async fn change(&self, entry: &str, change: &Change) -> Result<(), Error> {
        self.note(entry, change).map_err(self.failed())
    }
}
impl From<&Outgoing> for Letter {
    fn from(outgoing: &Outgoing) -> Self {
        Self {
            queue: outgoing.queue.clone(),
            exchange_type: outgoing.exchange_type,
            declares: outgoing.declares.clone(),
            message: outgoing.message.clone(),
            id: outgoing.id,
        }
    }
}

impl From<Letter> for Outgoing {
    fn from(letter: Letter) -> Self {
        Self {
            queue: letter.queue,
            exchange_type: letter.exchange_type,
            declares: letter.declares,
            message: letter.message,
            id: letter.id,
        }
    }
}

/// Reads a file; one that cannot be understood is moved aside, so that beat
/// begins anew rather than not at all.
fn read<T: DeserializeOwned + Default>(path: &Path) -> io::Result<T> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&text).or_else(|error| {
        let aside = path.with_extension("broken");
        tracing::error!(%error, path = %path.display(), "cannot read beat's state; moved to {}", aside.display());
        std::fs::rename(path, aside)?;
        Ok(T::default())
    })
}

/// A number for the file as it is.
fn modified(path: &Path) -> io::Result<u64> {
    let time = match std::fs::metadata(path) {
        Ok(metadata) => metadata.modified()?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::App;
    use crate::config::Settings;

    fn store(directory: &Path) -> Result<FileStore, Error> {
        let app = App::new(Settings::default())?;
        let path = directory.join("beat/state.json");
        Ok(FileStore::new(path, Arc::clone(app.broker())))
    }

    fn turn(before: Option<&History>, total_run_count: u64) -> Turn {
        Turn {
            entry: "e".to_owned(),
            before: before.cloned(),
            history: History {
                last_run_at: Utc::now(),
                total_run_count,
            },
            messages: Vec::new(),
        }
    }

    #[tokio::test]
    async fn one_leads_and_the_next_goes_on() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let (first, second) = (store(directory.path())?, store(directory.path())?);
        let lead = first.lead().await?.ok_or("the first leads")?;
        assert_eq!(second.lead().await?, None);
        let one = turn(None, 1);
        assert!(first.commit(&lead, std::slice::from_ref(&one)).await?);
        assert!(
            first.commit(&lead, std::slice::from_ref(&one)).await?,
            "the same again"
        );
        assert!(!first.commit(&lead, &[turn(None, 1)]).await?, "another one");
        first.resign(&lead).await?;
        assert!(!first.commit(&lead, &[turn(Some(&one.history), 2)]).await?);
        let lead = second.lead().await?.ok_or("the second leads")?;
        assert_eq!(second.memory().await?.histories["e"], one.history);
        assert!(second.commit(&lead, &[turn(Some(&one.history), 2)]).await?);
        Ok(())
    }

    #[tokio::test]
    async fn a_broken_file_is_moved_aside() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let store = store(directory.path())?;
        std::fs::create_dir(directory.path().join("beat"))?;
        std::fs::write(&store.path, "{")?;
        assert_eq!(store.memory().await?, Memory::default());
        assert!(store.path.with_extension("broken").exists());
        Ok(())
    }
}
