//! The scheduler's engine (`celery.beat.Service`).

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::state::State;
use super::{Schedule, ScheduleError};
use crate::app::App;
use crate::canvas::Signature;
use crate::config::BeatEntry;
use crate::worker::Shutdown;

/// After a fault of the broker an entry is tried again this soon.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Sends the entries of `beat_schedule` when they are due.
pub struct Beat {
    app: App,
    entries: Vec<Entry>,
    state: State,
}

struct Entry {
    name: String,
    schedule: Schedule,
    config: BeatEntry,
}

impl Entry {
    fn signature(&self) -> Signature {
        let options = &self.config.options;
        let mut signature = Signature::new(&self.config.task);
        signature.args = self.config.args.clone();
        signature.kwargs = self.config.kwargs.clone();
        signature.options.queue = options.queue.clone();
        signature.options.priority = options.priority;
        signature.options.expires = options.expires.map(Into::into);
        signature
    }
}

impl Beat {
    /// A beat for the entries in `app`'s settings.
    ///
    /// # Errors
    /// A schedule that cannot be, or a state that can be neither read nor written.
    pub fn new(app: App) -> Result<Self, BeatError> {
        let settings = app.settings();
        let entry = |(name, config): (&String, &BeatEntry)| {
            Ok(Entry {
                schedule: Schedule::new(name, config, settings.timezone)?,
                name: name.clone(),
                config: config.clone(),
            })
        };
        let entries = settings
            .beat_schedule
            .iter()
            .map(entry)
            .collect::<Result<_, ScheduleError>>()?;
        let state = State::open(settings.beat_schedule_filename.clone().into())?;
        Ok(Self {
            app,
            entries,
            state,
        })
    }

    /// Sends what is due until `shutdown` begins.
    pub async fn run(mut self, shutdown: &Shutdown) -> Result<(), BeatError> {
        tracing::info!(entries = self.entries.len(), "beat: Starting...");
        loop {
            let pause = self.tick(Utc::now()).await?;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.warm() => return Ok(()),
            }
        }
    }

    /// Sends what is due at `now`, and says how long to wait for the next.
    async fn tick(&mut self, now: DateTime<Utc>) -> Result<Duration, BeatError> {
        let longest = Duration::from_secs_f64(self.app.settings().beat_max_loop_interval.max(0.1));
        let mut pause = longest;
        for entry in &self.entries {
            let history = self.state.of(&entry.name, now);
            let Some(mut due) = entry.schedule.next(history.last_run_at) else {
                continue;
            };
            if due <= now {
                if !send(&self.app, entry).await {
                    pause = pause.min(TRY_AGAIN);
                    continue;
                }
                history.last_run_at = now;
                history.total_run_count += 1;
                due = entry.schedule.next(now).unwrap_or(DateTime::<Utc>::MAX_UTC);
            }
            pause = pause.min((due - now).to_std().unwrap_or_default());
        }
        self.state.save()?;
        Ok(pause)
    }
}

async fn send(app: &App, entry: &Entry) -> bool {
    match app.send(entry.signature()).await {
        Ok(result) => {
            tracing::info!(
                id = result.id(),
                "Scheduler: Sending due task {} ({})",
                entry.name,
                entry.config.task
            );
            true
        }
        Err(error) => {
            tracing::error!(%error, "Scheduler: cannot send {}; trying again", entry.name);
            false
        }
    }
}

/// Why beat cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BeatError {
    /// An entry's schedule cannot be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The state can be neither read nor written.
    #[error("beat's state: {0}")]
    State(#[from] std::io::Error),
}
