//! What sends periodic tasks (`celery.beat`).
//!
//! - [`Beat`]: sends what is due, if it leads; `agenda` is what it has to do
//! - [`Registry`]: lists and changes entries while beats run

mod agenda;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use agenda::{Agenda, Tools};
pub use registry::{Listing, Registry, RegistryError};

use crate::client::App;
use crate::config::Settings;
use crate::error::Error;
use crate::schedule::{Lead, Rules, ScheduleStore};
use crate::shutdown::Shutdown;
use crate::trace;

/// After a fault of the broker all is tried again this soon.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Sends the entries of `beat_schedule`, and those added at run time, when
/// they are due; or stands by while another beat does.
pub struct Beat {
    app: App,
    store: Arc<dyn ScheduleStore>,
    state: Standing,
}

/// Whether this beat sends.
enum Standing {
    /// Not known yet, or not any more.
    Unknown,
    Waiting,
    Leading(Agenda),
}

impl Beat {
    /// A beat for the entries in `app`'s settings.
    ///
    /// # Errors
    /// If the state cannot be where the settings say.
    pub fn new(app: App) -> Result<Self, Error> {
        Ok(Self {
            store: app.schedule_store()?,
            app,
            state: Standing::Unknown,
        })
    }

    /// Sends what is due until `shutdown` begins.
    ///
    /// # Errors
    /// If the state can be neither read nor written, and waiting cannot mend it.
    pub async fn run(mut self, shutdown: &Shutdown) -> Result<(), Error> {
        tracing::info!(
            entries = self.app.settings().beat_schedule.len(),
            "beat: Starting..."
        );
        while !shutdown.is_warm() {
            let pause = match self.tick().await {
                Ok(pause) => pause,
                Err(error) if !error.passes() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "beat: trying again");
                    self.state = Standing::Unknown;
                    TRY_AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.warm() => {}
            }
        }
        let left = self.leave().await;
        trace::flush().await;
        left
    }

    /// Sends what is due if this beat leads, and says how long to wait.
    async fn tick(&mut self) -> Result<Duration, Error> {
        // Often enough to keep the lead, and to take it over in time.
        let renewal = self.app.settings().lease() / 3;
        let Some(lead) = self.store.lead().await? else {
            if !matches!(self.state, Standing::Waiting) {
                tracing::info!("beat: Standing by while another beat leads");
            }
            self.state = Standing::Waiting;
            return Ok(renewal);
        };
        let before = std::mem::replace(&mut self.state, Standing::Unknown);
        let tools = self.tools();
        let agenda = match before {
            Standing::Leading(agenda) if agenda.lead == lead => Some(agenda),
            before => {
                announce(&before, &lead);
                Agenda::open(&tools, lead).await?
            }
        };
        let Some(mut agenda) = agenda else {
            return Ok(TRY_AGAIN);
        };
        let now = self.store.now().await?;
        let begun = Instant::now();
        let Some(next) = agenda.tick(&tools, now).await? else {
            return Ok(TRY_AGAIN);
        };
        self.state = Standing::Leading(agenda);
        let until_next = (next - now).to_std().unwrap_or_default();
        Ok(until_next.saturating_sub(begun.elapsed()).min(renewal))
    }

    fn tools(&self) -> Tools<'_> {
        let settings = self.app.settings();
        let longest = settings.beat_max_loop_interval.max(0.1);
        Tools {
            app: &self.app,
            store: &*self.store,
            rules: Rules::of(settings),
            max_interval: TimeDelta::milliseconds((longest * 1e3) as i64),
        }
    }

    async fn leave(self) -> Result<(), Error> {
        match self.state {
            Standing::Leading(agenda) => self.store.resign(&agenda.lead).await,
            Standing::Unknown | Standing::Waiting => Ok(()),
        }
    }
}

fn announce(before: &Standing, lead: &Lead) {
    match before {
        Standing::Leading(agenda) if agenda.lead.fence == lead.fence => {
            tracing::info!("beat: The schedule has been changed");
        }
        _ => tracing::info!("beat: Leading"),
    }
}

impl Rules {
    /// Those of an application.
    pub fn of(settings: &Settings) -> Self {
        let deadline = settings.beat_cron_starting_deadline;
        Self {
            zone: settings.zone(),
            cron_starting_deadline: deadline
                .map(|seconds| TimeDelta::milliseconds((seconds * 1e3) as i64)),
        }
    }
}
