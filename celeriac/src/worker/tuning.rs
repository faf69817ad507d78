//! What of a task can be changed while the worker works: rate and time limits.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::limits::Limits;
use crate::config::Settings;
use crate::task::{Rate, Task};

/// Every task's tuning, by its name.
pub(crate) struct Tunings(HashMap<String, Tuning>);

impl Tunings {
    pub fn new(tasks: &HashMap<String, Task>, settings: &Settings) -> Self {
        let tuning = |(name, task): (&String, &Task)| (name.clone(), Tuning::new(task, settings));
        Self(tasks.iter().map(tuning).collect())
    }

    /// That of a registered task.
    pub fn of(&self, task: &str) -> Option<&Tuning> {
        self.0.get(task)
    }
}

/// A task's limits as they are now.
pub(crate) struct Tuning {
    rate: Bucket,
    /// Those of the `time_limit` command, if there has been one.
    time: RwLock<Option<Limits>>,
}

impl Tuning {
    fn new(task: &Task, settings: &Settings) -> Self {
        let rate = task.options().rate_limit.clone();
        let rate = rate.or_else(|| settings.task_default_rate_limit.clone());
        Self {
            rate: Bucket {
                rate: watch::Sender::new(rate),
                last: Mutex::new(None),
                disabled: settings.worker_disable_rate_limits,
            },
            time: RwLock::new(None),
        }
    }

    /// The rate limit.
    pub fn rate(&self) -> Option<Rate> {
        self.rate.rate.borrow().clone()
    }

    /// Sets another rate limit, which those who wait see at once.
    pub fn set_rate(&self, rate: Rate) {
        self.rate.rate.send_replace(Some(rate));
    }

    /// Waits until the rate limit lets one more start. `None`: there is none.
    pub fn turn(&self) -> Option<impl Future<Output = ()>> {
        let limited = !self.rate.disabled && self.rate.interval().is_some();
        limited.then(|| self.rate.turn())
    }

    /// Time limits that replace the task's own.
    pub fn time(&self) -> Option<Limits> {
        *self.time.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the task's own time limits.
    pub fn set_time(&self, limits: Limits) {
        *self.time.write().unwrap_or_else(PoisonError::into_inner) = Some(limits);
    }
}

/// A token bucket that holds one token, as Celery's do.
struct Bucket {
    rate: watch::Sender<Option<Rate>>,
    /// When the last token was taken. Its holder is the first in the queue.
    last: Mutex<Option<Instant>>,
    disabled: bool,
}

impl Bucket {
    async fn turn(&self) {
        let mut rate = self.rate.subscribe();
        let mut last = self.last.lock().await;
        while let (Some(interval), Some(before)) = (self.interval(), *last) {
            let Some(next) = before.checked_add(interval) else {
                // Once in more than a century: until told otherwise.
                let _ = rate.changed().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(next) => {
                    // Woken late, the next one is due all the earlier.
                    let earliest = Instant::now().checked_sub(interval);
                    *last = earliest.max(Some(next));
                    return;
                }
                // The sender is this bucket's own and lives as long.
                _ = rate.changed() => {}
            }
        }
        *last = Some(Instant::now());
    }

    fn interval(&self) -> Option<std::time::Duration> {
        self.rate.borrow().as_ref().and_then(Rate::interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{TaskError, TaskOptions};
    use std::time::Duration;

    fn bucket(rate: &str) -> Bucket {
        Bucket {
            rate: watch::Sender::new(rate.parse().ok()),
            last: Mutex::default(),
            disabled: false,
        }
    }

    #[test]
    fn a_tasks_own_rate_goes_before_that_of_the_settings() -> Result<(), Box<dyn std::error::Error>>
    {
        let settings = Settings {
            task_default_rate_limit: Some("1/h".parse()?),
            ..Settings::default()
        };
        let task = Task::new("tasks.add", || async { Ok::<_, TaskError>(1) })?;
        let own = TaskOptions {
            rate_limit: Some("10/s".parse()?),
            ..TaskOptions::default()
        };
        let shown = |task| {
            Tuning::new(&task, &settings)
                .rate()
                .map(|rate| rate.to_string())
        };
        assert_eq!(shown(task.clone().with(own)).as_deref(), Some("10/s"));
        assert_eq!(shown(task).as_deref(), Some("1/h"));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn starts_are_a_rate_apart() {
        let (bucket, begun) = (bucket("2/s"), Instant::now());
        for _ in 0..4 {
            bucket.turn().await;
        }
        assert_eq!(begun.elapsed().as_millis() / 10, 150);
    }

    #[tokio::test(start_paused = true)]
    async fn another_rate_is_seen_by_those_who_wait() {
        let (bucket, begun) = (bucket("1/h"), Instant::now());
        bucket.turn().await;
        tokio::join!(bucket.turn(), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            bucket.rate.send_replace("0".parse().ok());
        });
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
