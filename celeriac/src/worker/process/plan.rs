//! Which tasks run in children, and when these are replaced.

use std::time::Duration;

use crate::config::{Settings, WorkerPool};
use crate::task::Task;

/// What the settings say of children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Where tasks run that do not say it themselves.
    pub pool: WorkerPool,
    /// A child is replaced after so many runs.
    pub max_tasks: Option<u64>,
    /// It is replaced after a run that leaves it with more memory, KiB.
    pub max_memory: Option<u64>,
    /// How long it may take until it can run tasks.
    pub alive: Duration,
}

impl Plan {
    pub fn of(settings: &Settings) -> Self {
        let alive = Duration::try_from_secs_f64(settings.worker_proc_alive_timeout);
        Self {
            pool: settings.worker_pool,
            max_tasks: bound(settings.worker_max_tasks_per_child),
            max_memory: bound(settings.worker_max_memory_per_child),
            alive: alive.unwrap_or(Duration::MAX),
        }
    }

    /// Whether a task runs in a child.
    pub fn isolates(&self, task: &Task) -> bool {
        let all = self.pool == WorkerPool::Prefork;
        task.options().process.unwrap_or(all)
    }

    /// Whether a child that has so many runs behind it, and so much memory
    /// after them, is used up.
    pub fn used_up(&self, runs: u64, memory: Option<u64>) -> bool {
        let tasks = self.max_tasks.is_some_and(|max| runs >= max);
        let memory = memory.zip(self.max_memory);
        tasks || memory.is_some_and(|(used, max)| used > max)
    }
}

/// As in Celery, 0 is no bound.
pub(in crate::worker) fn bound(most: Option<u64>) -> Option<u64> {
    most.filter(|&most| most > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{SignatureError, TaskError, TaskOptions};

    fn plan(settings: &Settings) -> Plan {
        Plan::of(settings)
    }

    #[test]
    fn a_task_goes_before_the_settings() -> Result<(), SignatureError> {
        let (threads, prefork) = (
            Settings::default(),
            Settings {
                worker_pool: WorkerPool::Prefork,
                ..Settings::default()
            },
        );
        let task = |process| {
            let task = Task::new("tasks.add", || async { Ok::<_, TaskError>(1) })?;
            Ok(task.with(TaskOptions {
                process,
                ..TaskOptions::default()
            }))
        };
        for (process, here, there) in [
            (None, false, true),
            (Some(true), true, true),
            (Some(false), false, false),
        ] {
            let task = task(process)?;
            assert_eq!(plan(&threads).isolates(&task), here);
            assert_eq!(plan(&prefork).isolates(&task), there);
        }
        Ok(())
    }

    #[test]
    fn a_child_is_used_up_by_runs_or_by_memory() {
        let bounded = plan(&Settings {
            worker_max_tasks_per_child: Some(2),
            worker_max_memory_per_child: Some(1000),
            ..Settings::default()
        });
        assert!(!bounded.used_up(1, Some(1000)));
        assert!(bounded.used_up(2, None));
        assert!(bounded.used_up(1, Some(1001)));
        let unbounded = plan(&Settings {
            worker_max_tasks_per_child: Some(0),
            ..Settings::default()
        });
        assert!(!unbounded.used_up(100, Some(u64::MAX)));
    }
}
