//! The children of a worker.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::super::pool::Pool;
use super::guard::{Child, Death, FAREWELL, guarded};
use super::lost;
use super::{Lease, Plan, birth};
use crate::config::WorkerPool;
use crate::shutdown::Shutdown;
use crate::task::Task;

/// The longest pause before another child is started.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The shortest, after a first one that could run nothing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The children of a worker. Cheap to clone. There are no more than slots, and
/// each runs one task at a time. Those that have nothing to run are kept.
#[derive(Clone)]
pub(crate) struct Children(Arc<Inner>);

struct Inner {
    plan: Plan,
    /// Which of the program's workers this one is: children tell by it which
    /// of theirs is meant.
    index: usize,
    slots: Arc<Pool>,
    shutdown: Shutdown,
    table: Mutex<Table>,
    /// Runs that children have been given.
    jobs: AtomicU64,
    /// The guards, so that the end can wait for the last child.
    guards: TaskTracker,
}

#[derive(Default)]
struct Table {
    /// Those that run nothing; the last one has run last.
    idle: Vec<Child>,
    /// Who waits for one.
    waiting: VecDeque<oneshot::Sender<Child>>,
    /// The pids of all of them.
    living: BTreeSet<u32>,
    /// Those that cannot run tasks yet.
    starting: usize,
    /// The most there have been: so many are kept ready.
    most: usize,
    /// Those, one after the other, that ended without ever having run anything.
    failures: u32,
    /// How often the pool has been restarted.
    generation: u64,
}

impl Table {
    /// One that runs nothing and is fit to.
    fn take(&mut self) -> Option<Child> {
        let generation = self.generation;
        std::iter::from_fn(|| self.idle.pop())
            .find(|child| child.is_alive() && child.generation == generation)
    }

    /// How many more are to be started, if there may be `size`.
    fn missing(&mut self, size: usize) -> usize {
        self.waiting.retain(|waiting| !waiting.is_closed());
        let awaited = self.waiting.len().saturating_sub(self.starting);
        let kept = self.most.min(size);
        awaited.max(kept.saturating_sub(self.living.len() + self.starting))
    }

    /// Gives a child to the first who waits for one; else it is there for the
    /// next.
    fn give(&mut self, mut child: Child) {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(child) {
                Ok(()) => return,
                Err(refused) => child = refused,
            }
        }
        self.idle.push(child);
    }
}

impl Children {
    pub fn new(plan: Plan, index: usize, slots: Arc<Pool>, shutdown: Shutdown) -> Self {
        // All that there may be, from the beginning.
        let most = match plan.pool {
            WorkerPool::Prefork => usize::MAX,
            WorkerPool::Threads => 0,
        };
        Self(Arc::new(Inner {
            plan,
            index,
            slots,
            shutdown,
            table: Mutex::new(Table {
                most,
                ..Table::default()
            }),
            jobs: AtomicU64::new(0),
            guards: TaskTracker::new(),
        }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a task runs in a child.
    pub fn run(&self, task: &Task) -> bool {
        self.0.plan.isolates(task)
    }

    /// Runs after which a child is replaced.
    pub fn max_tasks(&self) -> Option<u64> {
        self.0.plan.max_tasks
    }

    /// The pids of those that live.
    pub fn pids(&self) -> Vec<u32> {
        self.table().living.iter().copied().collect()
    }

    /// The number of the next run. As billiard counts its jobs.
    pub(super) fn next_job(&self) -> u64 {
        self.0.jobs.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for a child that can run a task.
    pub(in crate::worker) async fn lease(&self) -> Lease {
        loop {
            let waiting = {
                let mut table = self.table();
                if let Some(child) = table.take() {
                    return Lease::new(self.clone(), child);
                }
                let (give, waiting) = oneshot::channel();
                table.waiting.push_back(give);
                waiting
            };
            self.replenish();
            if let Ok(child) = waiting.await
                && child.is_alive()
            {
                return Lease::new(self.clone(), child);
            }
        }
    }

    /// Takes back a child after a run, or without one.
    pub(super) fn give_back(&self, child: Child, memory: Option<u64>) {
        let mut table = self.table();
        let fit = child.is_alive()
            && child.generation == table.generation
            && table.living.len() <= self.0.slots.size()
            && !self.0.plan.used_up(child.runs(), memory);
        if fit {
            table.give(child);
        } else {
            drop(table);
            tracing::debug!(pid = child.pid, ?memory, "a child is used up");
            self.dismiss(child, None);
        }
    }

    /// A run has ended as it should.
    pub(super) fn proven(&self) {
        self.table().failures = 0;
    }

    /// Has a child ended, by a signal if its run still goes on; another one
    /// takes its place.
    pub(super) fn dismiss(&self, child: Child, signal: Option<Signal>) {
        self.table().living.remove(&child.pid);
        match signal {
            Some(signal) => child.end(signal),
            None => drop(child),
        }
        self.replenish();
    }

    /// Replaces all of them, each when it has ended what it runs.
    pub fn restart(&self) {
        let mut table = self.table();
        table.generation += 1;
        let idle = std::mem::take(&mut table.idle);
        drop(table);
        idle.into_iter().for_each(|child| self.dismiss(child, None));
    }

    /// The slots have become more, or fewer: so do children that run nothing.
    pub fn fit(&self) {
        let mut table = self.table();
        let surplus = table.living.len().saturating_sub(self.0.slots.size());
        let kept = table.idle.len().saturating_sub(surplus);
        let surplus = table.idle.split_off(kept);
        drop(table);
        surplus
            .into_iter()
            .for_each(|child| self.dismiss(child, None));
        self.replenish();
    }

    /// Starts those that are missing.
    pub fn replenish(&self) {
        if self.0.shutdown.is_warm() {
            return;
        }
        let mut table = self.table();
        let missing = table.missing(self.0.slots.size());
        table.starting += missing;
        drop(table);
        for _ in 0..missing {
            let children = self.clone();
            tokio::spawn(async move { children.start().await });
        }
    }

    async fn start(&self) {
        let born = tokio::select! {
            child = self.birth() => Some(child),
            () = self.0.shutdown.warm() => None,
        };
        let mut table = self.table();
        table.starting -= 1;
        let Some(child) = born else {
            return;
        };
        if child.is_alive() {
            table.living.insert(child.pid);
            table.most = table.most.max(table.living.len());
        }
        table.give(child);
    }

    /// Starts one, as often as it takes.
    async fn birth(&self) -> Child {
        loop {
            let (failures, generation) = {
                let table = self.table();
                (table.failures, table.generation)
            };
            sleep(pause(failures)).await;
            match birth::start(self.0.index, self.0.plan.alive).await {
                Ok((process, line)) => {
                    if let Some((child, guard)) = guarded(process, line, generation) {
                        let children = self.clone();
                        self.0
                            .guards
                            .spawn(async move { children.bury(&guard.watch().await) });
                        return child;
                    }
                }
                Err(error) => tracing::error!("A child process cannot run tasks: {error}"),
            }
            self.fail();
        }
    }

    fn fail(&self) {
        let mut table = self.table();
        table.failures = table.failures.saturating_add(1);
    }

    /// A child has ended.
    fn bury(&self, death: &Death) {
        self.table().living.remove(&death.pid);
        if !death.wanted {
            let how = death.status.map(lost::human).unwrap_or_default();
            tracing::error!("Process pid:{} exited with '{how}'", death.pid);
            if death.runs == 0 {
                self.fail();
            }
        }
        self.replenish();
    }

    /// Ends all of them. Nothing is to run any more.
    pub async fn close(&self) {
        let signal = self.0.shutdown.is_cold().then_some(Signal::SIGKILL);
        let idle = std::mem::take(&mut self.table().idle);
        idle.into_iter()
            .for_each(|child| self.dismiss(child, signal));
        self.0.guards.close();
        // Each guard sees to it that its child ends before.
        let _ = timeout(FAREWELL * 2, self.0.guards.wait()).await;
    }
}

/// What to wait for after so many children that could run nothing.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(more) => SHORTEST_PAUSE
            .saturating_mul(1 << more.min(16))
            .min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(1), SHORTEST_PAUSE);
        assert_eq!(pause(3), SHORTEST_PAUSE * 4);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn as_many_are_started_as_are_missing() {
        let mut table = Table {
            most: 3,
            ..Table::default()
        };
        assert_eq!(table.missing(2), 2);
        table.starting = 1;
        table.living.insert(1);
        assert_eq!(table.missing(2), 0);
        assert_eq!(table.missing(8), 1);
        let (give, waiting) = oneshot::channel();
        let (more, waiting_more) = oneshot::channel();
        table.waiting.extend([give, more]);
        assert_eq!(table.missing(2), 1);
        drop((waiting, waiting_more));
        assert_eq!(table.missing(2), 0);
    }
}
