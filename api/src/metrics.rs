//! Counting requests, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use store::Counts;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: String,
    path: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: String,
    path: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// What is counted; clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Request, Counter>,
    latency: Family<Route, Histogram>,
    calls: Family<State, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::default();
        let latency = Family::new_with_constructor(latency as fn() -> Histogram);
        let calls = Family::default();
        let mut registry = Registry::with_prefix("celeriac_api");
        let help = "Requests answered";
        registry.register("requests", help, requests.clone());
        let help = "Time from a request's arrival to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, latency.clone());
        let help = "Calls in the database by state";
        registry.register("calls", help, calls.clone());
        Self {
            registry: Arc::new(registry),
            requests,
            latency,
            calls,
        }
    }
}

impl Metrics {
    /// Counts an answered request. `path` is a template such as `/calls/{id}`, so that the number
    /// of time series stays small whatever clients ask for.
    pub fn count(&self, method: &str, path: &str, status: u16, took: Duration) {
        let (method, path) = (method.to_owned(), path.to_owned());
        let route = Route {
            method: method.clone(),
            path: path.clone(),
        };
        self.latency
            .get_or_create(&route)
            .observe(took.as_secs_f64());
        let request = Request {
            method,
            path,
            status,
        };
        self.requests.get_or_create(&request).inc();
    }

    /// All that was counted, and the calls by state as they are now, as OpenMetrics.
    ///
    /// # Errors
    /// Never, in practice: the text is written to memory.
    pub fn encode(&self, counts: Counts) -> Result<String, fmt::Error> {
        let states = [
            ("pending", counts.pending),
            ("queued", counts.queued),
            ("processed", counts.processed),
        ];
        for (state, count) in states {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.calls.get_or_create(&State { state }).set(count);
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// From a millisecond to eight seconds.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}
