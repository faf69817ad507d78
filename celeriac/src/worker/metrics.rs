//! What a worker counts, for Prometheus.
//!
//! Each task's counters are found once, with its registered name: a message
//! cannot make up a time series.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::outcome::Ending;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InState {
    name: String,
    state: &'static str,
}

/// The worker as it is now.
pub(super) struct Load {
    pub slots: usize,
    pub busy: usize,
    /// Fetched, and neither running nor held for an eta.
    pub reserved: usize,
    /// Held for an eta.
    pub held: usize,
    pub connected: bool,
}

/// What a worker counts.
pub(super) struct Metrics {
    registry: Registry,
    states: Family<InState, Counter>,
    runtime: Family<Named, Histogram>,
    wait: Family<Named, Histogram>,
    /// Messages that were kept because nobody could run them.
    pub dead_letters: Counter,
    /// Times that the broker was lost and found again.
    pub reconnects: Counter,
    /// Events that have been told, and where they are counted.
    events: (Counter, Arc<AtomicU64>),
    gauges: [Gauge; 5],
    /// By registered name; made when the first message comes.
    meters: HashMap<String, OnceLock<Meter>>,
}

impl Metrics {
    /// Nothing yet, of these tasks. `events` counts those that are told.
    pub fn new<'a>(tasks: impl IntoIterator<Item = &'a String>, events: Arc<AtomicU64>) -> Self {
        let unset = |name: &String| (name.clone(), OnceLock::new());
        let mut metrics = Self {
            registry: Registry::with_prefix("celeriac"),
            states: Family::default(),
            runtime: Family::new_with_constructor(durations as fn() -> Histogram),
            wait: Family::new_with_constructor(durations as fn() -> Histogram),
            dead_letters: Counter::default(),
            reconnects: Counter::default(),
            events: (Counter::default(), events),
            gauges: Default::default(),
            meters: tasks.into_iter().map(unset).collect(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let help = "Tasks by name and state, each state that a task passes";
        registry.register("tasks", help, self.states.clone());
        let help = "How long tasks ran";
        let runtime = self.runtime.clone();
        registry.register_with_unit("task_runtime", help, Unit::Seconds, runtime);
        let help = "How long tasks waited in the worker, from their arrival or eta to their start";
        let wait = self.wait.clone();
        registry.register_with_unit("task_queue_wait", help, Unit::Seconds, wait);
        let help = "Messages kept because nobody could run them";
        registry.register("dead_letters", help, self.dead_letters.clone());
        let help = "Times that the lost broker was reached again";
        registry.register("reconnects", help, self.reconnects.clone());
        let help = "Events told to monitors";
        registry.register("events", help, self.events.0.clone());
        let gauges = [
            ("slots", "Tasks that may run at once"),
            ("slots_busy", "Tasks that run"),
            ("reserved", "Messages that wait for a slot"),
            ("held", "Messages that wait for their eta"),
            ("connected", "Whether the broker answers"),
        ];
        for ((name, help), gauge) in gauges.into_iter().zip(&self.gauges) {
            registry.register(name, help, gauge.clone());
        }
    }

    /// The counters of a registered task.
    pub fn of(&self, task: &str) -> Option<&Meter> {
        let meter = self.meters.get(task)?;
        Some(meter.get_or_init(|| self.meter(task)))
    }

    fn meter(&self, task: &str) -> Meter {
        let name = task.to_owned();
        let counter = |state| {
            let name = name.clone();
            self.states.get_or_create_owned(&InState { name, state })
        };
        let named = Named { name: name.clone() };
        Meter {
            received: counter("received"),
            started: counter("started"),
            succeeded: counter("succeeded"),
            failed: counter("failed"),
            retried: counter("retried"),
            rejected: counter("rejected"),
            revoked: counter("revoked"),
            ignored: counter("ignored"),
            runtime: self.runtime.get_or_create_owned(&named),
            wait: self.wait.get_or_create_owned(&named),
        }
    }

    /// All of it, as Prometheus reads it.
    ///
    /// # Errors
    /// Never, in practice: the text is written to memory.
    pub fn encode(&self, load: &Load) -> Result<String, fmt::Error> {
        let Load {
            slots,
            busy,
            reserved,
            held,
            ..
        } = *load;
        let connected = usize::from(load.connected);
        for (gauge, value) in self
            .gauges
            .iter()
            .zip([slots, busy, reserved, held, connected])
        {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let (events, told) = &self.events;
        let told = told.load(Ordering::Relaxed);
        events.inner().store(told, Ordering::Relaxed);
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// From a tenth of a millisecond to a minute and a half.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 11))
}

/// One task's counters.
pub(super) struct Meter {
    received: Counter,
    started: Counter,
    succeeded: Counter,
    failed: Counter,
    retried: Counter,
    rejected: Counter,
    revoked: Counter,
    ignored: Counter,
    runtime: Histogram,
    wait: Histogram,
}

/// Times one message.
pub(super) struct Stopwatch<'a> {
    meter: Option<&'a Meter>,
    /// When it could have run.
    due: OnceLock<Instant>,
}

impl<'a> Stopwatch<'a> {
    /// A message has arrived.
    pub fn arrived(metrics: &'a Metrics, task: &str) -> Self {
        let meter = metrics.of(task);
        if let Some(meter) = meter {
            meter.received.inc();
        }
        let due = OnceLock::new();
        Self { meter, due }
    }

    /// It could run from now on.
    pub fn due(&self) {
        let _ = self.due.set(Instant::now());
    }

    /// It runs.
    pub fn started(&self) {
        if let Some(meter) = self.meter {
            meter.started.inc();
            let waited = self.due.get().map_or(Duration::ZERO, Instant::elapsed);
            meter.wait.observe(waited.as_secs_f64());
        }
    }

    /// It has ended, after a run of so long if it has run.
    pub fn ended(&self, ending: Ending, runtime: Duration) {
        let Some(meter) = self.meter else {
            return;
        };
        match ending {
            Ending::Succeeded => &meter.succeeded,
            Ending::Failed => &meter.failed,
            Ending::Retried => &meter.retried,
            Ending::Rejected => &meter.rejected,
            Ending::Revoked => &meter.revoked,
            Ending::Ignored => &meter.ignored,
        }
        .inc();
        if !runtime.is_zero() {
            meter.runtime.observe(runtime.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_tasks_have_series() -> Result<(), fmt::Error> {
        let metrics = Metrics::new(&["tasks.add".to_owned()], Arc::default());
        for task in ["tasks.add", "made.up"] {
            let stopwatch = Stopwatch::arrived(&metrics, task);
            stopwatch.due();
            stopwatch.started();
            stopwatch.ended(Ending::Succeeded, Duration::from_millis(3));
        }
        let load = Load {
            slots: 4,
            busy: 1,
            reserved: 0,
            held: 0,
            connected: true,
        };
        let text = metrics.encode(&load)?;
        let has = |line: &str| assert!(text.contains(line), "{line} in {text}");
        has("celeriac_tasks_total{name=\"tasks.add\",state=\"succeeded\"} 1\n");
        has("celeriac_task_runtime_seconds_count{name=\"tasks.add\"} 1\n");
        has("celeriac_task_queue_wait_seconds_count{name=\"tasks.add\"} 1\n");
        has("celeriac_slots 4\n");
        assert!(!text.contains("made.up"));
        Ok(())
    }
}
