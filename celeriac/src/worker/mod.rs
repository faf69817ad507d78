//! The worker: takes messages from queues and runs their tasks.
//!
//! - [`Worker`]: what it runs, and how it is set up
//! - `builtins`: the tasks that every worker has
//! - `consumer`: takes messages, and comes back after a lost connection
//! - `life`: one message's way from its queue to its end
//! - `requests`: all that are on their way
//! - `pool`, `autoscale`: how many tasks run at once
//! - `queues`: where messages are taken from
//! - `revoked`: what must not run
//! - `limits`: a run under its time limits
//! - `tuning`: rate and time limits that change while the worker works
//! - `outcome`: what monitors are told of an [`Outcome`]
//! - `settle`: what a run's [`Outcome`] leaves behind
//! - `follow`: callbacks, chains and what replaces a task
//! - `chord`: members of a chord's header
//! - `errback`: what fails with a task, and who is told
//! - `shared`: what these parts share
//! - [`Shutdown`]: warm and cold

pub(crate) mod autoscale;
mod builtins;
mod chord;
mod consumer;
mod errback;
mod follow;
mod life;
pub(crate) mod limits;
mod outcome;
pub(crate) mod pool;
pub(crate) mod queues;
pub(crate) mod requests;
pub(crate) mod revoked;
mod settle;
mod shared;
mod shutdown;
mod stop;
pub(crate) mod tuning;

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, hostname};
use crate::control;
use crate::error::Error;
use crate::events::heartbeat;
use crate::stubs;
use crate::task::{States, Task, Tasks};
use crate::trace;

pub use settle::Outcome;
pub(crate) use shared::Shared;
pub use shutdown::Shutdown;

use shared::Society;

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
    /// The most and the fewest slots, if they follow the load.
    autoscale: Option<(usize, usize)>,
    task_events: bool,
    society: Society,
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
            autoscale: None,
            task_events: settings.worker_send_task_events,
            society: Society {
                heartbeat: true,
                mingle: true,
                gossip: true,
            },
            app,
        }
    }

    /// Registers a task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.tasks.insert(task.name().to_owned(), task);
        self
    }

    /// Registers several.
    #[must_use]
    pub fn tasks(self, tasks: impl IntoIterator<Item = Task>) -> Self {
        tasks.into_iter().fold(self, Self::task)
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

    /// Runs between `min` and `max` tasks at once, as the load demands
    /// (`--autoscale`).
    #[must_use]
    pub fn autoscale(mut self, max: usize, min: usize) -> Self {
        self.autoscale = Some((max.max(min).max(1), min.max(1)));
        self
    }

    /// Tells monitors what becomes of tasks (`-E`).
    #[must_use]
    pub fn task_events(mut self) -> Self {
        self.task_events = true;
        self
    }

    /// Sends no heartbeats (`--without-heartbeat`).
    #[must_use]
    pub fn without_heartbeat(mut self) -> Self {
        self.society.heartbeat = false;
        self
    }

    /// Does not ask others at start what they know (`--without-mingle`).
    #[must_use]
    pub fn without_mingle(mut self) -> Self {
        self.society.mingle = false;
        self
    }

    /// Does not watch others (`--without-gossip`).
    #[must_use]
    pub fn without_gossip(mut self) -> Self {
        self.society.gossip = false;
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

    /// A Python module that calls the tasks; see [`stubs`](mod@stubs).
    /// `module`: only what is in this one, and as its own.
    pub fn stubs(&self, module: Option<&str>) -> String {
        stubs::module(self.tasks.values(), module)
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
        let society = self.society;
        let shared = Arc::new(self.share(shutdown));
        // Aborted when dropped, at the end.
        let mut services = shared.serve();
        if society.mingle {
            control::mingle(&shared).await;
        }
        if society.gossip {
            services.spawn(control::gossip(Arc::clone(&shared)));
        }
        let beating = society.heartbeat.then(|| shared.beat(&mut services));
        shared.announce();
        consumer::consume(&shared).await;
        shared.finish().await;
        if let Some(beating) = beating {
            beating.abort();
            heartbeat::leave(&shared).await;
        }
        services.shutdown().await;
        consumer::leave(&shared).await;
        trace::flush().await;
        match shared.shutdown.is_cold() {
            true => Err(Error::ColdShutdown),
            false => Ok(()),
        }
    }
}
