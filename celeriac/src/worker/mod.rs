//! The worker: takes messages from queues and runs their tasks.
//!
//! - [`Worker`]: what it runs, and how it is set up
//! - `builtins`: the tasks that every worker has
//! - `consumer`: takes messages, and comes back after a lost connection
//! - `life`: one message's way from its queue to its end
//! - `limits`: a run under its time limits
//! - `settle`: what a run's [`Outcome`] leaves behind
//! - `follow`: callbacks, chains and what replaces a task
//! - `chord`: members of a chord's header
//! - `errback`: what fails with a task, and who is told
//! - [`Shutdown`]: warm and cold

mod builtins;
mod chord;
mod consumer;
mod errback;
mod follow;
mod life;
mod limits;
mod settle;
mod shutdown;

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::app::{App, hostname};
use crate::error::Error;
use crate::task::{Registry, States, Task, Tasks};

pub use settle::Outcome;
pub use shutdown::Shutdown;

/// A worker that is being set up.
///
/// ```no_run
/// use celeriac::task::{Args, Task, TaskError};
/// use celeriac::{App, Settings, Worker};
///
/// async fn add(Args((x, y)): Args<(i64, i64)>) -> Result<i64, TaskError> {
///     Ok(x + y)
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App::new(Settings::default())?;
/// Worker::new(app).task(Task::new("tasks.add(x, y)", add)?).run().await?;
/// # Ok(()) }
/// ```
pub struct Worker {
    app: App,
    tasks: Tasks,
    states: States,
    queues: Vec<Arc<str>>,
    nodename: String,
    concurrency: usize,
}

/// What the parts of a running worker share.
pub(crate) struct Shared {
    app: App,
    tasks: Arc<Tasks>,
    states: Arc<States>,
    queues: Vec<Arc<str>>,
    nodename: Arc<str>,
    /// One permit for each task that may run at once.
    slots: Semaphore,
    /// One permit for each message that may be reserved or running.
    prefetch: Arc<Semaphore>,
    /// One permit for each message that may wait for its eta beside them.
    held: Semaphore,
    /// Every message's life, so that a shutdown can wait for them.
    lives: TaskTracker,
    shutdown: Shutdown,
}

impl Worker {
    /// A worker for `app`, set up as its settings say: `celery@<host>` on
    /// `task_queues`.
    pub fn new(app: App) -> Self {
        let settings = app.settings();
        let names: Vec<&str> = match settings.task_queues.as_slice() {
            [] => vec![&settings.task_default_queue],
            queues => queues.iter().map(|queue| queue.name.as_str()).collect(),
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            tasks: builtins::tasks(),
            states: States::new(),
            queues: names.into_iter().map(Arc::from).collect(),
            nodename: format!("celery@{}", hostname()),
            concurrency: settings.worker_concurrency.unwrap_or_else(cores).max(1),
            app,
        }
    }

    /// Registers a task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.tasks.insert(task.name().to_owned(), task);
        self
    }

    /// Shares a value with all tasks, found by its type.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, state: Arc<T>) -> Self {
        self.states.insert(TypeId::of::<T>(), state);
        self
    }

    /// Consumes these queues instead (`-Q`).
    #[must_use]
    pub fn queues<Q: AsRef<str>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = queues
            .into_iter()
            .map(|queue| queue.as_ref().into())
            .collect();
        self
    }

    /// Takes this name instead (`-n`).
    #[must_use]
    pub fn nodename(mut self, nodename: impl Into<String>) -> Self {
        self.nodename = nodename.into();
        self
    }

    /// Runs this many tasks at once instead (`-c`).
    #[must_use]
    pub fn concurrency(mut self, slots: usize) -> Self {
        self.concurrency = slots.max(1);
        self
    }

    /// Its nodename.
    pub fn name(&self) -> &str {
        &self.nodename
    }

    /// The names of the registered tasks, in order.
    pub fn registered(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tasks.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Works until the process is told to end: TERM and INT let running tasks
    /// finish; a second one and QUIT give them `worker_soft_shutdown_timeout`.
    ///
    /// # Errors
    /// What makes work impossible, and [`Error::ColdShutdown`]. A lost broker
    /// is waited for.
    pub async fn run(self) -> Result<(), Error> {
        let soft = self.app.settings().worker_soft_shutdown_timeout;
        let shutdown = Shutdown::on_signals(Duration::try_from_secs_f64(soft).unwrap_or_default())?;
        self.run_until(shutdown).await
    }

    /// Works until `shutdown` says otherwise. Errors as [`run`](Self::run).
    pub async fn run_until(self, shutdown: Shutdown) -> Result<(), Error> {
        let shared = Arc::new(self.share(shutdown));
        shared.announce();
        let tending = tokio::spawn(consumer::tend(Arc::clone(&shared)));
        consumer::consume(&shared).await;
        shared.finish().await;
        tending.abort();
        consumer::leave(&shared).await;
        match shared.shutdown.is_cold() {
            true => Err(Error::ColdShutdown),
            false => Ok(()),
        }
    }

    fn share(self, shutdown: Shutdown) -> Shared {
        let prefetch = match self.app.settings().worker_prefetch_multiplier {
            0 => Semaphore::MAX_PERMITS,
            multiplier => self.concurrency.saturating_mul(multiplier),
        };
        let held = self
            .app
            .settings()
            .worker_eta_task_limit
            .unwrap_or(usize::MAX);
        Shared {
            tasks: Arc::new(self.tasks),
            states: Arc::new(self.states),
            queues: self.queues,
            nodename: self.nodename.into(),
            slots: Semaphore::new(self.concurrency),
            prefetch: Arc::new(Semaphore::new(prefetch.min(Semaphore::MAX_PERMITS))),
            held: Semaphore::new(held.min(Semaphore::MAX_PERMITS)),
            lives: TaskTracker::new(),
            shutdown,
            app: self.app,
        }
    }
}

impl Shared {
    /// What running tasks find besides their request.
    fn registry(&self) -> Registry {
        Registry {
            tasks: Arc::clone(&self.tasks),
            states: Arc::clone(&self.states),
        }
    }

    fn announce(&self) {
        let settings = self.app.settings();
        tracing::info!(
            transport = self.app.broker_address(),
            results = settings
                .result_backend
                .as_deref()
                .map(crate::error::hide_password),
            concurrency = self.slots.available_permits(),
            queues = self.queues.join(","),
            tasks = self.tasks.len(),
            "{} ready.",
            self.nodename
        );
    }

    /// Waits for the tasks that run, as long as the shutdown is a warm one.
    async fn finish(&self) {
        self.lives.close();
        tokio::select! {
            () = self.lives.wait() => return,
            () = self.shutdown.cold() => {}
        }
        // The lives see the cold shutdown themselves and give back what they can.
        let grace = Duration::from_secs(5);
        let _ = tokio::time::timeout(grace, self.lives.wait()).await;
    }
}
