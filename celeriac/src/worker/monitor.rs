//! What a worker tells those who watch its process: an orchestrator's probes,
//! and Prometheus.

use std::sync::{Arc, OnceLock, Weak};

use super::Shared;
use super::metrics::Load;
use super::requests::{Held, Stage};

/// The format of [`Monitor::metrics`].
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Watches a worker, before it runs, while it does and after that. Cheap to
/// clone; see [`Worker::monitor`](super::Worker::monitor).
#[derive(Clone, Default)]
pub struct Monitor(Arc<OnceLock<Weak<Shared>>>);

impl Monitor {
    /// The worker runs from now on.
    pub(super) fn watch(&self, shared: &Arc<Shared>) {
        let _ = self.0.set(Arc::downgrade(shared));
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.0.get()?.upgrade()
    }

    /// Whether it gets on: it fetches messages, waits for a slot or for a lost
    /// broker, or has not begun. If not, for 60 seconds a fetch has not ended,
    /// or a broker that is there has refused: a restart may help.
    pub fn is_live(&self) -> bool {
        self.shared().is_none_or(|shared| !shared.link.is_stuck())
    }

    /// Why it takes no messages, if so.
    pub fn unready(&self) -> Option<&'static str> {
        let Some(shared) = self.shared() else {
            return Some("the worker does not run");
        };
        if shared.shutdown.is_warm() {
            return Some("the worker shuts down");
        }
        let up = shared.link.is_up();
        (!up).then_some("the broker is away")
    }

    /// What it has counted, as Prometheus reads it ([`METRICS_TYPE`]); empty
    /// while it does not run.
    pub fn metrics(&self) -> String {
        let Some(shared) = self.shared() else {
            return String::new();
        };
        let (slots, active) = (shared.pool.size(), shared.requests.active());
        let load = Load {
            slots,
            // Those beyond have run, and are being settled.
            busy: active.min(slots),
            reserved: shared.requests.reserved().saturating_sub(active),
            held: shared.requests.scheduled(),
            connected: shared.link.is_up(),
        };
        shared.metrics.encode(&load).unwrap_or_default()
    }

    /// What it is at, for people: each task that runs, since when and where,
    /// and how many wait.
    pub(super) fn report(&self) -> String {
        let Some(shared) = self.shared() else {
            return "the worker does not run".to_owned();
        };
        let running = shared.requests.in_stage(Stage::Active);
        let mut lines = vec![format!(
            "{}: {} slots, {} running, {} reserved, {} scheduled",
            shared.nodename,
            shared.pool.size(),
            running.len(),
            shared.requests.reserved().saturating_sub(running.len()),
            shared.requests.scheduled(),
        )];
        lines.extend(running.iter().map(Held::to_string));
        lines.join("\n")
    }
}
