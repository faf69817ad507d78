//! The worker: takes messages from queues and runs their tasks.
//!
//! - [`Worker`]: what it runs, and how it is set up
//! - `builtins`: the tasks that every worker has
//! - `consumer`: takes messages, and comes back after a lost connection
//! - `life`: one message's way from its queue to its end
//! - `requests`: all that are on their way
//! - `pool`, `autoscale`: how many tasks run at once
//! - `process`: tasks in child processes
//! - `queues`: where messages are taken from
//! - `revoked`: what must not run
//! - `limits`: a run under its time limits
//! - `tuning`: rate and time limits that change while the worker works
//! - `outcome`: what monitors are told of an [`Outcome`]
//! - `acks`: what becomes of a message when its run is over
//! - `settle`: what a run's [`Outcome`] leaves behind
//! - `insist`: what must be done, as often as it takes
//! - `outage`: a broker that is away, or refuses
//! - `presence`: whether the servers are there at the end
//! - `follow`: callbacks, chains and what replaces a task
//! - `chord`: members of a chord's header
//! - `errback`: what fails with a task, and who is told
//! - `state_db`: what is known over a restart
//! - `link`, `metrics`, [`Monitor`]: how the worker does, for its orchestrator
//! - `banner`: who it is, for people
//! - `services`: what goes on beside the messages, on a thread of its own
//! - `shared`: what these parts share
//! - `signals`: what is called when the worker is ready, and when it ends
//! - [`Shutdown`]: warm and cold

pub(crate) mod autoscale;
mod banner;
mod builtins;
mod consumer;
pub mod control;
pub(crate) mod election;
mod gossip;
mod heartbeat;
mod insist;
mod life;
pub(crate) mod limits;
mod link;
#[cfg_attr(not(feature = "metrics"), path = "no_metrics.rs")]
mod metrics;
mod mingle;
mod monitor;
mod outage;
mod outcome;
pub(crate) mod pool;
mod presence;
mod process;
pub(crate) mod queues;
mod report;
pub(crate) mod requests;
pub(crate) mod revoked;
mod services;
mod settle;
mod shared;
mod signals;
mod state_db;
mod stop;
pub(crate) mod tuning;

use std::any::{Any, TypeId};
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::client::App;
use crate::config::WorkerPool;
use crate::error::Error;
use crate::nodename::default_nodename;
use crate::shutdown::Shutdown;
use crate::stubs;
use crate::task::{AllHooks, Hooks, Layer, Registry, States, Task, Tasks};
use crate::trace;

pub use monitor::{METRICS_TYPE, Monitor};
pub use outcome::{Outcome, Revocation};
#[cfg(feature = "log")]
pub(crate) use process::child::is_child;

pub(crate) use report::cry_on_usr1;
pub(crate) use shared::Shared;

use process::Plan;
use process::child::{Role, role, serve};
use queues::{Broadcasts, Queues};
use services::Services;
use shared::Society;
use signals::Signals;
use state_db::StateDb;

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
    /// Of all tasks but Celery's own.
    hooks: AllHooks,
    /// Round all tasks but Celery's own, the innermost first.
    layers: Vec<Arc<dyn Layer>>,
    signals: Signals,
    states: States,
    /// By the names that people use.
    queues: Vec<Arc<str>>,
    broadcasts: Broadcasts,
    nodename: String,
    concurrency: usize,
    /// The most and the fewest slots, if they follow the load.
    autoscale: Option<(usize, usize)>,
    task_events: bool,
    society: Society,
    monitor: Monitor,
    plan: Plan,
}

impl Worker {
    /// A worker for `app`, set up as its settings say: `celery@<host>` on
    /// `task_queues`.
    pub fn new(app: App) -> Self {
        let settings = app.settings();
        let table = app.queue_table();
        let names = table.queues().map(|queue| Arc::clone(&queue.name));
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            tasks: builtins::tasks(),
            hooks: AllHooks::default(),
            layers: Vec::new(),
            signals: Signals::default(),
            states: States::new(),
            queues: names.collect(),
            broadcasts: Broadcasts::of(table),
            nodename: default_nodename(None),
            concurrency: settings.worker_concurrency.unwrap_or_else(cores).max(1),
            autoscale: None,
            task_events: settings.worker_send_task_events,
            society: Society {
                heartbeat: Some(heartbeat::INTERVAL),
                mingle: true,
                gossip: true,
            },
            monitor: Monitor::default(),
            plan: Plan::of(settings),
            app,
        }
    }

    /// Registers a task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        let mut options = task.options().clone();
        let annotations = &self.app.settings().task_annotations;
        options.annotate(annotations, task.name());
        let task = task.with(options);
        self.tasks.insert(task.name().to_owned(), task);
        self
    }

    /// Registers several.
    #[must_use]
    pub fn tasks(self, tasks: impl IntoIterator<Item = Task>) -> Self {
        tasks.into_iter().fold(self, Self::task)
    }

    /// Tells these hooks of every run, before those of the task: of all tasks
    /// but Celery's own (`celery.chain` and the like).
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks) -> Self {
        self.hooks.add(Arc::new(hooks));
        self
    }

    /// Runs every task but Celery's own within this layer, outside of those
    /// that it has.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Calls this once the worker takes messages, before the first. As
    /// `celery.signals.worker_ready`.
    #[must_use]
    pub fn on_ready<F: Future<Output = ()> + Send + 'static>(
        mut self,
        signal: impl Fn(App) -> F + Send + Sync + 'static,
    ) -> Self {
        self.signals.ready.push(signals::boxed(signal));
        self
    }

    /// Calls this when the worker takes no more messages, before what runs has
    /// ended. As `celery.signals.worker_shutting_down`.
    #[must_use]
    pub fn on_shutting_down<F: Future<Output = ()> + Send + 'static>(
        mut self,
        signal: impl Fn(App) -> F + Send + Sync + 'static,
    ) -> Self {
        self.signals.shutting_down.push(signals::boxed(signal));
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
        let mut named = HashSet::new();
        self.queues = queues
            .into_iter()
            .map(|queue| Arc::from(queue.as_ref()))
            .filter(|queue| named.insert(Arc::clone(queue)))
            .collect();
        self
    }

    /// Leaves these queues alone (`-X`).
    #[must_use]
    pub fn exclude_queues<Q: AsRef<str>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        for excluded in queues {
            self.queues.retain(|queue| **queue != *excluded.as_ref());
        }
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
    /// (`--autoscale`). One slot is there even if `min` is 0.
    #[must_use]
    pub fn autoscale(mut self, max: usize, min: usize) -> Self {
        self.autoscale = Some((max.max(min).max(1), min));
        self
    }

    /// Runs tasks in this process or in children of it (`-P`), but for those
    /// that say it themselves.
    #[must_use]
    pub fn pool(mut self, pool: WorkerPool) -> Self {
        self.plan.pool = pool;
        self
    }

    /// Replaces a child after so many runs (`--max-tasks-per-child`).
    #[must_use]
    pub fn max_tasks_per_child(mut self, runs: u64) -> Self {
        self.plan.max_tasks = process::bound(Some(runs));
        self
    }

    /// Replaces a child that a run leaves with more resident memory than so
    /// many KiB (`--max-memory-per-child`).
    #[must_use]
    pub fn max_memory_per_child(mut self, kib: u64) -> Self {
        self.plan.max_memory = process::bound(Some(kib));
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
        self.society.heartbeat = None;
        self
    }

    /// Sends heartbeats so often instead (`--heartbeat-interval`).
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.society.heartbeat = Some(interval);
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

    /// Deletes what waits in its queues; how many messages (`--purge`). None
    /// of them is kept.
    ///
    /// # Errors
    /// [`Error::Connection`] when the broker is away, and
    /// [`Error::QueueNotFound`] as [`run`](Self::run).
    pub async fn purge(&self) -> Result<u64, Error> {
        let queues = self.consumed()?;
        let queues = queues.names();
        self.app.broker().purge(&queues).await
    }

    /// The queues that it consumes.
    ///
    /// # Errors
    /// [`Error::QueueNotFound`] for one that is not to be made by naming it.
    fn consumed(&self) -> Result<Queues, Error> {
        let table = self.app.queue_table();
        for name in &self.queues {
            table.find(name)?;
        }
        let queues = Queues::new(&self.queues, self.broadcasts.clone(), table.clone());
        if self.app.settings().worker_direct {
            queues.add(queues::direct(&self.nodename));
        }
        Ok(queues)
    }

    /// Watches it, from now until after it has ended.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Its application.
    pub fn app(&self) -> &App {
        &self.app
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
    /// finish; QUIT and a second INT give them `worker_soft_shutdown_timeout`
    /// ([`Shutdown::on_signals`]). USR1 has it log what it is at.
    ///
    /// In a child process of this worker it runs what the worker gives it, and
    /// returns when that wants no more.
    ///
    /// # Errors
    /// What makes work impossible, such as [`Error::QueueNotFound`], and
    /// [`Error::ColdShutdown`]. A lost broker is waited for, unless the settings
    /// say otherwise.
    pub async fn run(self) -> Result<(), Error> {
        self.play(|worker| {
            cry_on_usr1(worker.monitor()).map_err(Error::io("cannot listen to USR1"))?;
            let soft = worker.app.settings().worker_soft_shutdown_timeout;
            Shutdown::on_signals(Duration::try_from_secs_f64(soft).unwrap_or_default())
        })
        .await
    }

    /// Works until `shutdown` says otherwise. Errors as [`run`](Self::run).
    pub async fn run_until(self, shutdown: Shutdown) -> Result<(), Error> {
        self.play(|_| Ok(shutdown)).await
    }

    /// Works, unless this process is a child of such a worker.
    async fn play(
        mut self,
        shutdown: impl FnOnce(&Self) -> Result<Shutdown, Error>,
    ) -> Result<(), Error> {
        self.wrap_tasks();
        match role() {
            Role::Worker(index) => {
                let shutdown = shutdown(&self)?;
                self.work(index, shutdown).await
            }
            Role::Child(line) => {
                let registry = Registry {
                    tasks: Arc::new(self.tasks),
                    states: Arc::new(self.states),
                };
                serve(self.app, registry, line).await
            }
            // Until the worker beside it, which is meant, is done.
            Role::Onlooker => std::future::pending().await,
        }
    }

    /// Gives the tasks what is round all of them.
    fn wrap_tasks(&mut self) {
        let tasks = self.tasks.iter_mut();
        for (_, task) in tasks.filter(|(name, _)| !name.starts_with("celery.")) {
            task.wrap(&self.hooks, &self.layers);
        }
    }

    async fn work(mut self, index: usize, shutdown: Shutdown) -> Result<(), Error> {
        let (society, monitor) = (self.society, self.monitor.clone());
        let signals = std::mem::take(&mut self.signals);
        let shared = Arc::new(self.share(index, shutdown)?);
        let state_db = StateDb::open(&shared)?;
        monitor.watch(&shared);
        shared.children.replenish();
        if let Err(error) = consumer::connect(&shared).await {
            shared.children.close().await;
            return Err(error);
        }
        // Aborted when dropped, at the end.
        let mut services = Services::start()?;
        shared.serve(&mut services);
        let listening = shared.listen(&mut services).await;
        if let Some(state_db) = &state_db {
            services.spawn(Arc::clone(state_db).keep(Arc::clone(&shared)));
        }
        if society.mingle {
            mingle::mingle(&shared).await;
        }
        if society.gossip {
            services.spawn(gossip::gossip(Arc::clone(&shared)));
        }
        let beat = society.heartbeat;
        let beating = beat.map(|interval| (shared.beat(&mut services, interval), interval));
        shared.announce();
        signals::send(&signals.ready, &shared.app).await;
        let consumed = consumer::consume(&shared).await;
        if let Err(error) = &consumed {
            tracing::error!("consumer: Connection to broker lost for good: {error}");
            shared.shutdown.begin();
        }
        signals::send(&signals.shutting_down, &shared.app).await;
        // As in Celery, a worker that ends is gone for others, though what runs
        // may finish.
        if let Some(listening) = listening {
            listening.abort();
        }
        if let Some((beating, interval)) = beating {
            beating.abort();
            heartbeat::leave(&shared, interval).await;
        }
        shared.finish().await;
        shared.children.close().await;
        heartbeat::leave_unsaid(&shared).await;
        services.shutdown().await;
        consumer::leave(&shared).await;
        if let Some(state_db) = state_db {
            state_db.save(&shared).await;
        }
        trace::flush().await;
        match shared.shutdown.is_cold() {
            true => Err(Error::ColdShutdown),
            false => consumed,
        }
    }
}
