//! The requests that the worker holds (`celery/worker/state.py`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use indexmap::IndexMap;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::stop::{REVOKED, Stop};
use crate::broker::Delivery;
use crate::task::{Context, Request};

/// The signal that is the soft limit (`billiard.pool.SIG_SOFT_TIMEOUT`).
pub(crate) const SOFT_LIMIT: i32 = Signal::SIGUSR1 as i32;

/// Every message between its delivery and its end, in the order of delivery.
#[derive(Default)]
pub(crate) struct Requests(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// The next one's key.
    next: u64,
    held: BTreeMap<u64, Held>,
    active: usize,
    /// How many have been started, by task.
    total: IndexMap<String, u64>,
    processed: u64,
}

/// Where a request is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for its rate limit or a slot.
    Reserved,
    /// It waits for its eta.
    Scheduled,
    /// It runs.
    Active,
}

impl Stage {
    /// As `query_task` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Scheduled => "scheduled",
            Self::Active => "active",
        }
    }
}

/// Where a request is read from.
#[derive(Clone)]
enum Source {
    /// It has been read.
    Read(Context),
    /// It is to be read again when somebody asks.
    Aside(Arc<Delivery>),
}

/// A request and what the worker knows of it.
#[derive(Clone)]
pub(crate) struct Held {
    source: Source,
    id: Arc<str>,
    /// Nodename of the worker.
    node: Arc<str>,
    pub stage: Stage,
    time_start: Option<DateTime<Utc>>,
    /// The process that it runs in.
    pid: Option<u32>,
    acknowledged: bool,
    stop: Arc<Stop>,
}

impl Held {
    pub fn request(&self) -> Cow<'_, Request> {
        match &self.source {
            Source::Read(context) => Cow::Borrowed(context.request()),
            Source::Aside(delivery) => Cow::Owned(self.read(delivery)),
        }
    }

    /// Reads again what could be read before.
    fn read(&self, delivery: &Delivery) -> Request {
        let (queue, node) = (Arc::clone(&delivery.queue), Arc::clone(&self.node));
        let message = delivery.content.read().unwrap_or_default();
        let accepted = message.content_type.clone();
        let accepted = [accepted.unwrap_or_else(|| "application/json".to_owned())];
        Request::refused(message, &accepted, queue, node)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What `Request.info()` answers. `safe`: arguments as text.
    pub fn info(&self, safe: bool) -> Value {
        self.info_of(&self.request(), safe)
    }

    /// The same of its request, which has been read.
    pub fn info_of(&self, request: &Request, safe: bool) -> Value {
        let headers = request.headers();
        let message = &request.message;
        let (args, kwargs) = if safe {
            (json!(headers.argsrepr), json!(headers.kwargsrepr))
        } else {
            (json!(request.body.args), json!(request.body.kwargs))
        };
        let name = headers.shadow.as_ref().filter(|name| !name.is_empty());
        json!({
            "id": headers.id,
            "name": name.unwrap_or(&headers.task),
            "args": args,
            "kwargs": kwargs,
            "type": headers.task,
            "hostname": request.hostname,
            "time_start": self.time_start.map(|at| at.timestamp_micros() as f64 / 1e6),
            "acknowledged": self.acknowledged,
            "delivery_info": {
                "exchange": message.delivery_info.exchange,
                "routing_key": message.delivery_info.routing_key,
                "priority": message.properties.priority,
                "redelivered": message.redelivered(),
            },
            "worker_pid": self.pid,
        })
    }

    /// Has it dropped if it does not run yet.
    pub fn revoke(&self) {
        self.stop.tell(REVOKED);
    }

    /// Has it dropped even if it runs, as if by this signal. USR1 is the soft
    /// limit, as billiard has it.
    pub fn terminate(&self, signum: i32) {
        match signum {
            SOFT_LIMIT => self.stop.soften(),
            signum => self.stop.tell(signum),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.request();
        let headers = request.headers();
        write!(
            f,
            "{}[{}] {}",
            headers.shown(),
            headers.id,
            self.stage.name()
        )?;
        if let Some(start) = self.time_start {
            write!(
                f,
                " since {}",
                start.to_rfc3339_opts(SecondsFormat::Secs, true)
            )?;
        }
        self.pid.map_or(Ok(()), |pid| write!(f, " pid:{pid}"))
    }
}

impl Requests {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request; it leaves when the place is dropped.
    pub fn hold(&self, context: Context) -> Place<'_> {
        let stop = Arc::new(Stop::default());
        let held = Held {
            id: context.id().into(),
            node: Arc::clone(&context.request().hostname),
            source: Source::Read(context),
            stage: Stage::Reserved,
            time_start: None,
            pid: None,
            acknowledged: false,
            stop: Arc::clone(&stop),
        };
        let mut table = self.table();
        let key = table.next;
        table.next += 1;
        table.held.insert(key, held);
        Place {
            requests: self,
            key,
            stop,
        }
    }

    /// Those in this stage, in the order of delivery.
    pub fn in_stage(&self, stage: Stage) -> Vec<Held> {
        self.matching(|held| held.stage == stage)
    }

    /// Those that `wanted` wants.
    pub fn matching(&self, wanted: impl Fn(&Held) -> bool) -> Vec<Held> {
        let table = self.table();
        table
            .held
            .values()
            .filter(|held| wanted(held))
            .cloned()
            .collect()
    }

    /// How many run.
    pub fn active(&self) -> usize {
        self.table().active
    }

    /// How many run or are about to.
    pub fn reserved(&self) -> usize {
        let table = self.table();
        let scheduled = |held: &&Held| held.stage == Stage::Scheduled;
        table.held.len() - table.held.values().filter(scheduled).count()
    }

    /// How many wait for their eta.
    pub fn scheduled(&self) -> usize {
        let table = self.table();
        let scheduled = |held: &&Held| held.stage == Stage::Scheduled;
        table.held.values().filter(scheduled).count()
    }

    /// How many have been started.
    pub fn processed(&self) -> u64 {
        self.table().processed
    }

    /// How many have been started, by task.
    pub fn total(&self) -> IndexMap<String, u64> {
        self.table().total.clone()
    }
}

/// A request's place among those held.
pub(crate) struct Place<'a> {
    requests: &'a Requests,
    key: u64,
    stop: Arc<Stop>,
}

impl Place<'_> {
    fn change(&self, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.requests.table().held.get_mut(&self.key) {
            change(held);
        }
    }

    /// It waits for its eta, for so long that its request is laid aside.
    pub fn schedule(&self, delivery: &Arc<Delivery>) {
        self.change(|held| {
            held.stage = Stage::Scheduled;
            held.source = Source::Aside(Arc::clone(delivery));
        });
    }

    /// Its request has been read again.
    pub fn take_up(&self, context: Context) {
        self.change(|held| held.source = Source::Read(context));
    }

    /// It waits for nothing but its turn.
    pub fn reserve(&self) {
        self.change(|held| held.stage = Stage::Reserved);
    }

    /// It runs from now on, in the process `pid`.
    pub fn activate(&self, task: &str, pid: u32) {
        let mut table = self.requests.table();
        let table = &mut *table;
        if let Some(held) = table.held.get_mut(&self.key) {
            held.stage = Stage::Active;
            held.time_start = Some(Utc::now());
            held.pid = Some(pid);
            table.active += 1;
        }
        table.processed += 1;
        match table.total.get_mut(task) {
            Some(count) => *count += 1,
            None => drop(table.total.insert(task.to_owned(), 1)),
        }
    }

    /// Its message has been acknowledged.
    pub fn acknowledge(&self) {
        self.change(|held| held.acknowledged = true);
    }

    /// Whether it is revoked, or terminated.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_told()
    }

    /// Waits until it is revoked, or terminated.
    pub async fn revoked(&self) {
        self.stop.until(|state| state != 0).await;
    }

    /// The signal that it is terminated by, if it is.
    pub fn signal(&self) -> Option<i32> {
        self.stop.signal()
    }

    /// Whether it is to meet its soft limit.
    pub fn is_softened(&self) -> bool {
        self.stop.is_soft()
    }

    /// Waits until it is to meet its soft limit.
    pub async fn softened(&self) {
        self.stop.softened().await;
    }

    /// Waits until it is terminated; by which signal.
    pub async fn terminated(&self) -> i32 {
        self.stop.until(|state| state > 0).await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.requests.table();
        let held = table.held.remove(&self.key);
        if held.is_some_and(|held| held.stage == Stage::Active) {
            table.active -= 1;
        }
    }
}
