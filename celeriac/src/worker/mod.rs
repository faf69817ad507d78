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
mod shutdown;
pub(crate) mod tuning;

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::task::TaskTracker;

use crate::app::{App, hostname};
use crate::control::{self, Elections, Samples};
use crate::error::Error;
use crate::events::{Dispatcher, heartbeat};
use crate::stubs;
use crate::task::{Registry, States, Task, Tasks};

pub use settle::Outcome;
pub use shutdown::Shutdown;

use autoscale::Autoscaler;
use pool::Pool;
use queues::Queues;
use requests::Requests;
use revoked::Revoked;
use tuning::Tunings;

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

/// How a worker deals with others.
#[derive(Clone, Copy)]
struct Society {
    heartbeat: bool,
    mingle: bool,
    gossip: bool,
}

/// What the parts of a running worker share.
pub(crate) struct Shared {
    pub app: App,
    pub tasks: Arc<Tasks>,
    states: Arc<States>,
    pub queues: Queues,
    pub nodename: Arc<str>,
    /// How many tasks run, and how many messages wait for them.
    pub pool: Pool,
    /// Fits the pool to the load, if it shall.
    pub autoscaler: Option<Autoscaler>,
    /// One permit for each message that may wait for its eta beside them.
    held: Semaphore,
    /// What is on its way.
    pub requests: Requests,
    /// What must not run.
    pub revoked: Revoked,
    /// What remote control can change of tasks.
    pub tunings: Tunings,
    /// Tells monitors.
    pub events: Dispatcher,
    pub elections: Elections,
    pub samples: Samples,
    pub started: Instant,
    /// Every message's life, so that a shutdown can wait for them.
    lives: TaskTracker,
    pub shutdown: Shutdown,
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
        let beating = society.heartbeat.then(|| shared.beat());
        shared.announce();
        consumer::consume(&shared).await;
        shared.finish().await;
        if let Some(beating) = beating {
            beating.abort();
            heartbeat::leave(&shared).await;
        }
        services.shutdown().await;
        consumer::leave(&shared).await;
        match shared.shutdown.is_cold() {
            true => Err(Error::ColdShutdown),
            false => Ok(()),
        }
    }

    fn share(self, shutdown: Shutdown) -> Shared {
        let settings = self.app.settings();
        let held = settings.worker_eta_task_limit.unwrap_or(usize::MAX);
        let size = self.autoscale.map_or(self.concurrency, |(_, min)| min);
        let nodename: Arc<str> = self.nodename.into();
        Shared {
            tunings: Tunings::new(&self.tasks, settings),
            tasks: Arc::new(self.tasks),
            states: Arc::new(self.states),
            queues: Queues::new(self.queues),
            pool: Pool::new(size, settings.worker_prefetch_multiplier),
            autoscaler: self.autoscale.map(Autoscaler::new),
            held: Semaphore::new(held.min(Semaphore::MAX_PERMITS)),
            requests: Requests::default(),
            revoked: Revoked::from_env(),
            events: Dispatcher::new(
                Arc::clone(self.app.transport()),
                self.app.clock().clone(),
                Arc::clone(&nodename),
                &settings.event_exchange,
                self.task_events,
            ),
            nodename,
            elections: Elections::default(),
            samples: Samples::default(),
            started: Instant::now(),
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
            concurrency = self.pool.size(),
            queues = self.queues.names().join(","),
            tasks = self.tasks.len(),
            "{} ready.",
            self.nodename
        );
    }

    /// Starts what goes on beside the messages.
    fn serve(self: &Arc<Self>) -> JoinSet<()> {
        let mut services = JoinSet::new();
        services.spawn(consumer::tend(Arc::clone(self)));
        services.spawn(self.events.clone().flush_when_filled());
        if self.app.settings().worker_enable_remote_control {
            services.spawn(control::listen(Arc::clone(self)));
        }
        if self.autoscaler.is_some() {
            services.spawn(autoscale::keep(Arc::clone(self)));
        }
        services
    }

    fn beat(self: &Arc<Self>) -> AbortHandle {
        let shared = Arc::clone(self);
        tokio::spawn(async move { heartbeat::beat(&shared).await }).abort_handle()
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
