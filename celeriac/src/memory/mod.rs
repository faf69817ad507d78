//! A broker and a result backend in this process, for tests and for trying out:
//! `memory://` and `cache+memory://`, as with Celery. What is in them ends with
//! the process.
//!
//! - [`MemoryBroker`]: queues and exchanges
//! - [`MemoryResults`]: results, chords and groups

mod broker;
mod consumer;
mod results;
mod state;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

pub use broker::MemoryBroker;
pub use results::MemoryResults;

/// What all who name the same address share.
struct Shared<T>(LazyLock<Mutex<HashMap<String, T>>>);

impl<T: Clone + Default> Shared<T> {
    const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// What is there under this address.
    fn at(&self, url: &str) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(url.to_owned()).or_default().clone()
    }
}
