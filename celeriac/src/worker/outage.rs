//! A broker that is away, or refuses: when it is tried again, what is said of
//! it, and when the worker gives up.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Shared;
use crate::error::Error;

/// The shortest pause between two attempts that fail.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest. A worker is back so soon after a cause has ended.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// So many connections take part in a fetch. Whatever ended one may have ended
/// all, and each is found lost by its own next use.
const CONNECTIONS: u32 = 2;
/// The same is not said again before this.
const SILENCE: Duration = Duration::from_secs(30);

/// What is known of the attempts to work with the broker.
pub(super) struct Outage {
    /// Whether it has not worked yet.
    starting: bool,
    /// How often, since it worked, a connection was found lost.
    lost: u32,
    /// Attempts that have failed, one after the other, but for those that only
    /// found a connection lost.
    attempts: u32,
    pause: Duration,
    /// What was said, and when.
    said: HashMap<String, Instant>,
}

impl Outage {
    /// Before the first attempt.
    pub fn at_start() -> Self {
        Self {
            starting: true,
            ..Self::of_none()
        }
    }

    /// While all is well.
    pub fn of_none() -> Self {
        Self {
            starting: false,
            lost: 0,
            attempts: 0,
            pause: SHORTEST_PAUSE,
            said: HashMap::new(),
        }
    }

    /// The broker works; whether it did not before.
    pub fn end(&mut self) -> bool {
        std::mem::replace(self, Self::of_none()).lost > 0
    }

    /// It does not: waits until it is to be tried again, or the shutdown begins.
    ///
    /// # Errors
    /// The same, if it is not to be tried again.
    pub async fn wait(&mut self, shared: &Shared, error: Error) -> Result<(), Error> {
        shared.link.set_fetched(false);
        shared.link.set_refused(error.is_refusal());
        // What has worked is opened again at once.
        let is_found_lost = self.lost == 0 || (self.lost < CONNECTIONS && error.is_loss());
        if !self.starting && is_found_lost {
            match self.lost {
                0 => tracing::warn!(
                    "consumer: Connection to broker lost: {error}. Connecting again..."
                ),
                _ => tracing::debug!(%error, "another connection was lost; connecting again"),
            }
            self.lost += 1;
            return Ok(());
        }
        self.attempts += 1;
        if self.is_enough(shared, &error) {
            // Of a broker that has worked, the worker says so itself.
            if self.starting {
                let address = shared.app.broker_address();
                tracing::error!("consumer: Cannot connect to {address}: {error}");
            }
            return Err(error);
        }
        self.say(shared, &error);
        tokio::select! {
            () = sleep(self.pause) => {}
            () = shared.shutdown.warm() => {}
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// Whether another attempt would be one too many. What does not pass by
    /// itself at the start is for people to mend: nothing has begun yet.
    fn is_enough(&self, shared: &Shared, error: &Error) -> bool {
        let settings = shared.app.settings();
        let retry = match self.starting {
            true => settings.broker_connection_retry_on_startup,
            false => None,
        };
        let bound = settings.broker_connection_max_retries.unwrap_or(0);
        (self.starting && !error.passes())
            || !retry.unwrap_or(settings.broker_connection_retry)
            || (bound > 0 && self.attempts > bound)
    }

    fn say(&mut self, shared: &Shared, error: &Error) {
        let text = error.to_string();
        let known = self.said.get(&text);
        if known.is_some_and(|at| at.elapsed() < SILENCE) {
            tracing::debug!(%error, "still no connection");
            return;
        }
        tracing::error!(
            "consumer: Cannot connect to {}: {text}. Trying again in {:.2} seconds...",
            shared.app.broker_address(),
            self.pause.as_secs_f64()
        );
        self.said.insert(text, Instant::now());
    }
}
