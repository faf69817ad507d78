//! What stands for metrics where the feature is off: nothing is counted.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::outcome::Ending;

/// The worker as it is now.
#[allow(dead_code, reason = "who tells it does not know that nobody reads it")]
pub(super) struct Load {
    pub slots: usize,
    pub busy: usize,
    pub reserved: usize,
    pub held: usize,
    pub connected: bool,
}

/// Counts nothing.
#[derive(Default)]
pub(super) struct Counter;

impl Counter {
    pub fn inc(&self) {}
}

/// Counts nothing.
#[derive(Default)]
pub(super) struct Metrics {
    pub dead_letters: Counter,
    pub reconnects: Counter,
}

impl Metrics {
    pub fn new<'a>(_tasks: impl IntoIterator<Item = &'a String>, _events: Arc<AtomicU64>) -> Self {
        Self::default()
    }

    /// Nothing.
    pub fn encode(&self, _load: &Load) -> Result<String, fmt::Error> {
        Ok(String::new())
    }
}

/// Times nothing.
pub(super) struct Stopwatch<'a>(PhantomData<&'a Metrics>);

impl<'a> Stopwatch<'a> {
    pub fn arrived(_metrics: &'a Metrics, _task: &str) -> Self {
        Self(PhantomData)
    }

    pub fn due(&self) {}

    pub fn started(&self) {}

    pub fn ended(&self, _ending: Ending, _runtime: Duration) {}
}
