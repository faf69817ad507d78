//! What a leader has to do, and when (`celery.beat.Scheduler`).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::broker::Outgoing;
use crate::canvas::Plan;
use crate::client::App;
use crate::client::Lineage;
use crate::client::sending::Sending;
use crate::config::Settings;
use crate::error::Error;
use crate::schedule::{BeatEntry, Due, Rules};
use crate::schedule::{Change, History, Lead, ScheduleStore, Turn};

/// Turns done in one step, at most.
const AT_ONCE: usize = 500;

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
            let before = memory.zone.as_deref().unwrap_or_default();
            tracing::warn!(
                "beat: The time zone is {zone} now, and was {before}: all entries count from now"
            );
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

    /// Sends what is due at `now`, and says when to come again. `None` if
    /// another beat leads by now.
    pub async fn tick(
        &mut self,
        tools: &Tools<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        self.warn_of_the_future(now);
        let mut due = Vec::new();
        for item in &mut self.items {
            if (item.check_at <= now || item.ran_after(now))
                && let Some(turn) = item.look(tools, now)
            {
                due.push(turn);
            }
        }
        for turns in due.chunks(AT_ONCE) {
            if !self.take(tools, turns).await? {
                return Ok(None);
            }
        }
        let next = self.items.iter().map(|item| item.check_at).min();
        let latest = now + tools.max_interval;
        Ok(Some(next.map_or(latest, |next| next.min(latest))))
    }

    /// Does these turns. Where one of them cannot be done, and never will be,
    /// each is done by itself, so that it keeps back no other.
    async fn take(&self, tools: &Tools<'_>, turns: &[Turn]) -> Result<bool, Error> {
        match tools.store.commit(&self.lead, turns).await {
            Ok(true) => {
                for turn in turns {
                    tell(tools.app, turn).await;
                }
                Ok(true)
            }
            Err(error) if !error.passes() => {
                for turn in turns {
                    if !self.take_alone(tools, turn).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            other => other,
        }
    }

    /// Does one turn, or says why not and goes on to the entry's next one.
    async fn take_alone(&self, tools: &Tools<'_>, turn: &Turn) -> Result<bool, Error> {
        let alone = std::slice::from_ref(turn);
        let error = match tools.store.commit(&self.lead, alone).await {
            Ok(true) => {
                tell(tools.app, turn).await;
                return Ok(true);
            }
            Err(error) if !error.passes() => error,
            other => return other,
        };
        let entry = &turn.entry;
        tracing::error!(%error, "beat: Cannot send due task {entry}: this run is skipped");
        let skipped = Turn {
            messages: Vec::new(),
            ..turn.clone()
        };
        tools.store.commit(&self.lead, &[skipped]).await
    }

    /// A clock that was put back, or another machine's that was ahead, would
    /// keep entries waiting until it is that late again.
    fn warn_of_the_future(&self, now: DateTime<Utc>) {
        let ahead = self.items.iter().filter(|item| item.ran_after(now));
        let names: Vec<&str> = ahead.map(|item| item.name.as_str()).collect();
        if !names.is_empty() {
            tracing::warn!(
                "beat: The last run of {} is later than it is now, which is {now}: it counts as now",
                names.join(", ")
            );
        }
    }
}

/// Says what has been sent.
async fn tell(app: &App, turn: &Turn) {
    for message in &turn.messages {
        let (entry, headers) = (&turn.entry, &message.message.headers);
        let (id, task) = (&headers.id, &headers.task);
        tracing::info!(id, "Scheduler: Sending due task {entry} ({task})");
    }
    app.tell_of(&turn.messages).await;
}

impl Item {
    /// Whether its last run is in the future.
    fn ran_after(&self, now: DateTime<Utc>) -> bool {
        let history = self.history.as_ref();
        history.is_some_and(|history| history.last_run_at > now)
    }

    /// Asks the schedule, and says what is to be done.
    fn look(&mut self, tools: &Tools<'_>, now: DateTime<Utc>) -> Option<Turn> {
        let past = self.history.as_ref();
        let Some(history) = past.filter(|history| history.last_run_at <= now) else {
            // It has never run, or in the future: it counts from now.
            let runs = past.map_or(0, |history| history.total_run_count);
            self.check_at = now;
            return Some(self.turn(now, runs, Vec::new()));
        };
        let Known { entry, paused, .. } = &self.known;
        let last = history.last_run_at;
        let due = entry
            .schedule
            .is_due(last, now, entry.relative, &tools.rules);
        let due = due.unwrap_or_else(|error| {
            let name = &self.name;
            tracing::error!(%error, "beat: Cannot tell when {name:?} runs next");
            Due {
                is_due: false,
                next: tools.max_interval,
            }
        });
        self.check_at = now + due.next;
        let runs = history.total_run_count;
        match (due.is_due, paused) {
            (false, _) => None,
            (true, true) => Some(self.turn(now, runs, Vec::new())),
            (true, false) => {
                let messages = self.messages(tools.app);
                Some(self.turn(now, runs + 1, messages))
            }
        }
    }

    /// What a run sends.
    fn messages(&self, app: &App) -> Vec<Outgoing> {
        let plan = Plan::of(self.known.entry.signature()).map_err(Error::from);
        let sending = plan.and_then(|(plan, _)| app.prepare(plan, &Lineage::default()));
        sending.map(Sending::into_messages).unwrap_or_else(|error| {
            // Trying again would not make it better.
            tracing::error!(%error, "Scheduler: cannot send {}", self.name);
            Vec::new()
        })
    }

    /// A turn at `now`, after which it has run so often.
    fn turn(&mut self, now: DateTime<Utc>, runs: u64, messages: Vec<Outgoing>) -> Turn {
        let history = History {
            last_run_at: now,
            total_run_count: runs,
        };
        Turn {
            entry: self.name.clone(),
            // If the turn cannot be done, the agenda is opened anew.
            before: self.history.replace(history.clone()),
            history,
            messages,
        }
    }
}
