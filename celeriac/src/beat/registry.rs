//! Entries as a person sees and changes them while beats run.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::agenda::{Known, known};
use crate::client::App;
use crate::client::AsyncResult;
use crate::error::Error;
use crate::schedule::spec::runs;
use crate::schedule::{BeatEntry, Rules, ScheduleError};
use crate::schedule::{Change, History, ScheduleStore};

/// The entries of all beats that share this one's store. They see a change
/// within seconds.
pub struct Registry {
    app: App,
    store: Arc<dyn ScheduleStore>,
}

/// An entry and how it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// What it sends, and when.
    pub entry: BeatEntry,
    /// Whether its runs are skipped.
    pub paused: bool,
    /// Whether it has been added at run time, and so can be removed.
    pub added: bool,
    /// When it ran; `None` if no beat has seen it yet.
    pub history: Option<History>,
}

impl Listing {
    /// When it runs from now on, unless it is paused.
    ///
    /// # Errors
    /// Each run can fail to be told.
    pub fn runs(&self, rules: Rules) -> impl Iterator<Item = Result<DateTime<Utc>, ScheduleError>> {
        let now = Utc::now();
        let history = self.history.as_ref();
        let last = history.map_or(now, |history| history.last_run_at.min(now));
        runs(&self.entry, last, now, rules)
    }
}

impl Registry {
    /// The entries of `app`'s beats.
    ///
    /// # Errors
    /// If the store cannot be where the settings say.
    pub fn new(app: App) -> Result<Self, Error> {
        Ok(Self {
            store: app.schedule_store()?,
            app,
        })
    }

    /// All entries, by name.
    pub async fn list(&self) -> Result<Vec<Listing>, RegistryError> {
        let changes = self.store.changes().await?;
        let histories = self.store.memory().await?.histories;
        Ok(self.listings(changes, histories))
    }

    /// The configuration's entries as they are before any beat has seen them.
    pub fn configured(&self) -> Vec<Listing> {
        self.listings(BTreeMap::new(), BTreeMap::new())
    }

    fn listings(
        &self,
        changes: BTreeMap<String, Change>,
        mut histories: BTreeMap<String, History>,
    ) -> Vec<Listing> {
        let listing = |(
            name,
            Known {
                entry,
                paused,
                added,
            },
        )| Listing {
            history: histories.remove(&name),
            name,
            entry,
            paused,
            added,
        };
        let known = known(self.app.settings(), changes);
        known.into_iter().map(listing).collect()
    }

    /// One entry.
    pub async fn get(&self, name: &str) -> Result<Listing, RegistryError> {
        let found = self
            .list()
            .await?
            .into_iter()
            .find(|listing| listing.name == name);
        found.ok_or_else(|| RegistryError::Unknown(name.to_owned()))
    }

    /// Adds an entry, or puts it in the place of one that was added before.
    /// As `Scheduler.add`.
    ///
    /// # Errors
    /// [`RegistryError::Configured`] if the configuration has one of that name.
    pub async fn add(&self, name: &str, entry: BeatEntry) -> Result<(), RegistryError> {
        self.refuse_configured(name)?;
        let changes = self.store.changes().await?;
        let change = Change {
            paused: changes.get(name).is_some_and(|change| change.paused),
            entry: Some(entry),
        };
        Ok(self.store.change(name, &change).await?)
    }

    /// Removes an entry that was added.
    ///
    /// # Errors
    /// [`RegistryError::Configured`] if the configuration has it.
    pub async fn remove(&self, name: &str) -> Result<(), RegistryError> {
        self.refuse_configured(name)?;
        self.get(name).await?;
        Ok(self.store.change(name, &Change::default()).await?)
    }

    /// Skips an entry's runs from now on, or no longer. What was skipped is
    /// not made up for.
    pub async fn pause(&self, name: &str, paused: bool) -> Result<(), RegistryError> {
        let listing = self.get(name).await?;
        let change = Change {
            paused,
            entry: listing.added.then_some(listing.entry),
        };
        Ok(self.store.change(name, &change).await?)
    }

    /// Sends an entry's task now, whatever its schedule says and without
    /// bearing on it.
    pub async fn run(&self, name: &str) -> Result<AsyncResult, RegistryError> {
        let listing = self.get(name).await?;
        Ok(self.app.send(listing.entry.signature()).await?)
    }

    fn refuse_configured(&self, name: &str) -> Result<(), RegistryError> {
        if self.app.settings().beat_schedule.contains_key(name) {
            return Err(RegistryError::Configured(name.to_owned()));
        }
        Ok(())
    }
}

/// Why an entry cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is none of that name.
    #[error("no entry is called {0:?}")]
    Unknown(String),
    /// It is the configuration's.
    #[error("{0:?} is in the configuration (beat_schedule); change it there, or pause it")]
    Configured(String),
    /// The store cannot be reached, or the task not be sent.
    #[error(transparent)]
    Store(#[from] Error),
}
