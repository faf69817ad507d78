//! What the parts of a running worker share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::autoscale::{self, Autoscaler};
use super::control::{self, Samples};
use super::election::Elections;
use super::link::Link;
use super::metrics::Metrics;
use super::pool::Pool;
use super::presence::{self, Presence};
use super::process::Children;
use super::queues::Queues;
use super::requests::Requests;
use super::revoked::Revoked;
use super::services::Services;
use super::tuning::Tunings;
use super::{Worker, consumer, heartbeat, insist};
use crate::broker::{Broker, Consumer, Leases};
use crate::client::App;
use crate::error::Error;
use crate::events::Dispatcher;
use crate::shutdown::Shutdown;
use crate::task::{Registry, States, Tasks};

/// So long a start waits until remote control is heard, at most.
const HEARING: Duration = Duration::from_secs(1);
/// Tasks that may have run and not be settled, at most.
const SETTLING: usize = 1024;

/// How a worker deals with others.
#[derive(Clone, Copy)]
pub(crate) struct Society {
    /// What is between two heartbeats, if there are any.
    pub heartbeat: Option<Duration>,
    pub mingle: bool,
    pub gossip: bool,
}

/// What the parts of a running worker share.
pub(crate) struct Shared {
    pub app: App,
    /// Takes messages, and settles them.
    pub(super) consumer: Arc<dyn Consumer>,
    /// Keeps what it holds, if that has to be renewed.
    leases: Option<Arc<dyn Leases>>,
    /// The broker for what goes on beside the messages.
    pub beside: Arc<dyn Broker>,
    pub tasks: Arc<Tasks>,
    pub(super) states: Arc<States>,
    pub queues: Queues,
    pub nodename: Arc<str>,
    /// How many tasks run, and how many messages wait for them.
    pub pool: Arc<Pool>,
    /// The processes that some of them run in, or all.
    pub children: Children,
    /// Fits the pool to the load, if it shall.
    pub autoscaler: Option<Autoscaler>,
    /// One permit for each message that may wait for its eta beside them.
    pub(super) held: Semaphore,
    /// One permit for each task that has run and is not settled yet: when
    /// results cannot be stored, messages have to wait at the broker.
    pub(super) settling: Semaphore,
    /// What is on its way.
    pub requests: Requests,
    /// What must not run.
    pub revoked: Revoked,
    /// What remote control can change of tasks.
    pub tunings: Tunings,
    /// Tells monitors.
    pub events: Dispatcher,
    /// Whether the broker answers.
    pub(super) link: Link,
    /// Whether the servers are there at the end.
    pub(super) presence: Presence,
    /// Cancelled when nothing is to be insisted on any more.
    pub(super) forsaken: CancellationToken,
    /// What is counted.
    pub(super) metrics: Metrics,
    pub(crate) society: Society,
    pub elections: Elections,
    pub samples: Samples,
    pub started: Instant,
    /// Every message's life, so that a shutdown can wait for them.
    pub(super) lives: TaskTracker,
    pub shutdown: Shutdown,
}

impl Worker {
    /// The worker's parts, ready to run. `index`: which of the program's workers
    /// it is.
    pub(crate) fn share(self, index: usize, shutdown: Shutdown) -> Result<Shared, Error> {
        let queues = self.consumed()?;
        let beside = self.app.broker().detached()?;
        let consumer = self.app.broker().consumer(&self.nodename)?;
        let settings = self.app.settings();
        let held = settings.worker_eta_task_limit.unwrap_or(usize::MAX);
        let size = self
            .autoscale
            .map_or(self.concurrency, |(_, min)| min.max(1));
        let multiplier = match settings.worker_disable_prefetch {
            true => 1,
            false => settings.worker_prefetch_multiplier,
        };
        let pool = Arc::new(Pool::new(size, multiplier));
        let slots = Arc::clone(&pool);
        let nodename: Arc<str> = self.nodename.into();
        let events = Dispatcher::new(
            Arc::clone(&beside),
            self.app.clock().clone(),
            Arc::clone(&nodename),
            &settings.event_exchange,
            self.task_events,
        );
        Ok(Shared {
            leases: consumer.leases()?,
            consumer,
            beside,
            tunings: Tunings::new(&self.tasks, settings),
            metrics: Metrics::new(self.tasks.keys(), events.told()),
            link: Link::default(),
            presence: Presence::default(),
            forsaken: CancellationToken::new(),
            tasks: Arc::new(self.tasks),
            states: Arc::new(self.states),
            queues,
            children: Children::new(self.plan, index, slots, shutdown.clone()),
            pool,
            autoscaler: self.autoscale.map(Autoscaler::new),
            held: Semaphore::new(held.min(Semaphore::MAX_PERMITS)),
            settling: Semaphore::new(SETTLING),
            requests: Requests::default(),
            revoked: Revoked::from_env(),
            events,
            nodename,
            society: self.society,
            elections: Elections::default(),
            samples: Samples::default(),
            started: Instant::now(),
            lives: TaskTracker::new(),
            shutdown,
            app: self.app,
        })
    }
}

impl Shared {
    /// Whether the broker is gone at the end.
    pub fn is_broker_lost(&self) -> bool {
        self.presence.is_broker_lost()
    }

    /// What running tasks find besides their request.
    pub(super) fn registry(&self) -> Registry {
        Registry {
            tasks: Arc::clone(&self.tasks),
            states: Arc::clone(&self.states),
        }
    }

    /// Says that it takes messages from now on.
    pub(super) fn announce(&self) {
        tracing::info!("{} ready.", self.nodename);
    }

    /// Starts what goes on beside the messages.
    pub(super) fn serve(self: &Arc<Self>, services: &mut Services) {
        match &self.leases {
            Some(leases) => {
                services.spawn(consumer::tend(Arc::clone(self), Arc::clone(leases)));
                services.spawn(consumer::recover(Arc::clone(leases)));
            }
            None => self.link.set_tended(true),
        }
        let shared = Arc::clone(self);
        services.spawn(async move { presence::watch(&shared).await });
        let shared = Arc::clone(self);
        services.spawn(async move { insist::forsake(&shared).await });
        services.spawn(self.events.clone().flush_when_filled());
        if self.autoscaler.is_some() {
            services.spawn(autoscale::keep(Arc::clone(self)));
        }
    }

    /// Answers remote control, if it shall: once this returns, unless the
    /// broker takes too long over it.
    pub(super) async fn listen(self: &Arc<Self>, services: &mut Services) -> Option<AbortHandle> {
        if !self.app.settings().worker_enable_remote_control {
            return None;
        }
        let hears = CancellationToken::new();
        let listening = services.spawn(control::listen(Arc::clone(self), hears.clone()));
        tokio::select! {
            () = hears.cancelled() => {}
            () = sleep(HEARING) => {}
            () = self.shutdown.warm() => {}
        }
        Some(listening)
    }

    /// Says again and again that the worker is there.
    pub(super) fn beat(
        self: &Arc<Self>,
        services: &mut Services,
        interval: Duration,
    ) -> AbortHandle {
        let shared = Arc::clone(self);
        services.spawn(async move { heartbeat::beat(&shared, interval).await })
    }

    /// Waits for the tasks that run, as long as the shutdown is a warm one.
    pub(super) async fn finish(&self) {
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
