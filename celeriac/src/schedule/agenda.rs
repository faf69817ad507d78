//! What a leader has to do, and when (`celery.beat.Scheduler`).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::store::{Change, History, Lead, ScheduleStore, Turn};
use super::{BeatEntry, Rules};
use crate::app::App;
use crate::canvas::Plan;
use crate::config::Settings;
use crate::error::Error;
use crate::message::Lineage;

/// An entry, wherever it comes from.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub entry: BeatEntry,
    pub paused: bool,
    /// Whether it has been added at run time.
    pub added: bool,
}

/// The entries of the configuration and those that were added; for a name
/// that is both, the configuration decides.
pub(super) fn known(
    settings: &Settings,
    mut changes: BTreeMap<String, Change>,
) -> BTreeMap<String, Known> {
    let mut all = BTreeMap::new();
    for (name, entry) in &settings.beat_schedule {
        let paused = changes.remove(name).is_some_and(|change| change.paused);
        let entry = entry.clone();
        all.insert(
            name.clone(),
            Known {
                entry,
                paused,
                added: false,
            },
        );
    }
    for (name, Change { paused, entry }) in changes {
        if let Some(entry) = entry {
            all.insert(
                name,
                Known {
                    entry,
                    paused,
                    added: true,
                },
            );
        }
    }
    all
}

/// The entries and when to look at each.
pub(super) struct Agenda {
    pub lead: Lead,
    items: Vec<Item>,
}

struct Item {
    name: String,
    known: Known,
    history: Option<History>,
    /// When to ask its schedule again.
    check_at: DateTime<Utc>,
}

/// What an agenda works with.
pub(super) struct Tools<'a> {
    pub app: &'a App,
    pub store: &'a dyn ScheduleStore,
    pub rules: Rules,
    /// A schedule that fails is asked again after this.
    pub max_interval: TimeDelta,
}

impl Agenda {
    /// What there is to do for who leads; `None` if another beat does by now.
    /// Histories of entries that are gone are forgotten, and all of them if
    /// the time zone is another one than before.
    pub async fn open(tools: &Tools<'_>, lead: Lead) -> Result<Option<Self>, Error> {
        let known = known(tools.app.settings(), tools.store.changes().await?);
        let mut memory = tools.store.memory().await?;
        let zone = tools.rules.zone.name();
        let moved = memory.zone.as_deref().is_some_and(|before| before != zone);
        if moved {
            tracing::warn!("Reset: Timezone changed from {:?} to {zone:?}", memory.zone);
        }
        let gone = |name: &String| moved || !known.contains_key(name);
        let names = memory.histories.keys();
        let forgotten: Vec<String> = names.filter(|name| gone(name)).cloned().collect();
        memory.histories.retain(|name, _| !gone(name));
        let news = !forgotten.is_empty() || memory.zone.as_deref() != Some(zone);
        if news && !tools.store.forget(&lead, &forgotten, zone).await? {
            return Ok(None);
        }
        let items = known.into_iter().map(|(name, known)| Item {
            history: memory.histories.remove(&name),
            name,
            known,
            check_at: DateTime::<Utc>::MIN_UTC,
        });
        let items = items.collect();
        Ok(Some(Self { lead, items }))
    }

    /// Sends what is due, and says when to come again. `None` if another beat
    /// leads by now.
    pub async fn tick(&mut self, tools: &Tools<'_>) -> Result<Option<DateTime<Utc>>, Error> {
        let mut next = Utc::now() + tools.max_interval;
        for item in &mut self.items {
            if item.check_at <= Utc::now() && !item.look(tools, &self.lead).await? {
                return Ok(None);
            }
            next = next.min(item.check_at);
        }
        Ok(Some(next))
    }
}

impl Item {
    /// Asks the schedule, and does what it says. `false` if another beat leads.
    async fn look(&mut self, tools: &Tools<'_>, lead: &Lead) -> Result<bool, Error> {
        let now = Utc::now();
        let Some(history) = &self.history else {
            return self.begin(tools, lead, now).await;
        };
        let Known { entry, .. } = &self.known;
        let due = entry
            .schedule
            .is_due(history.last_run_at, now, entry.relative, &tools.rules);
        let due = match due {
            Ok(due) => due,
            Err(error) => {
                let name = &self.name;
                tracing::error!(%error, "beat: Cannot calculate the next run of {name:?}");
                self.check_at = now + tools.max_interval;
                return Ok(true);
            }
        };
        if due.is_due && !self.run(tools, lead, now).await? {
            return Ok(false);
        }
        self.check_at = now + due.next;
        Ok(true)
    }

    /// An entry that has never run counts from when it is first seen.
    async fn begin(
        &mut self,
        tools: &Tools<'_>,
        lead: &Lead,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let history = History {
            last_run_at: now,
            total_run_count: 0,
        };
        self.check_at = now;
        self.turn(tools, lead, history, Vec::new()).await
    }

    /// Sends the entry's task, or skips it if the entry is paused.
    async fn run(
        &mut self,
        tools: &Tools<'_>,
        lead: &Lead,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let runs = self
            .history
            .as_ref()
            .map_or(0, |history| history.total_run_count);
        let after = |total_run_count| History {
            last_run_at: now,
            total_run_count,
        };
        if self.known.paused {
            return self.turn(tools, lead, after(runs), Vec::new()).await;
        }
        let Self { name, known, .. } = &*self;
        let (plan, _) = Plan::of(known.entry.signature())?;
        let task = &known.entry.task;
        let messages = match tools.app.prepare(plan, &Lineage::default()) {
            Ok(sending) => sending.into_messages(),
            Err(error) => {
                // Trying again would not make it better.
                tracing::error!(%error, "Scheduler: cannot send {name} ({task})");
                Vec::new()
            }
        };
        if !self
            .turn(tools, lead, after(runs + 1), messages.clone())
            .await?
        {
            return Ok(false);
        }
        let (name, task) = (&self.name, &self.known.entry.task);
        for message in &messages {
            let id = &message.envelope.headers.id;
            tracing::info!(id, "Scheduler: Sending due task {name} ({task})");
        }
        tools.app.tell_of(&messages).await;
        Ok(true)
    }

    async fn turn(
        &mut self,
        tools: &Tools<'_>,
        lead: &Lead,
        history: History,
        messages: Vec<crate::transport::Outgoing>,
    ) -> Result<bool, Error> {
        let turn = Turn {
            entry: self.name.clone(),
            before: self.history.clone(),
            history,
            messages,
        };
        let done = tools.store.commit(lead, &turn).await?;
        if done {
            self.history = Some(turn.history);
        }
        Ok(done)
    }
}
