//! A pool that follows the load (`celery/worker/autoscale.py`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::interval;

use super::Shared;
use super::pool::Pool;

/// How often the load is looked at.
const ROUND: Duration = Duration::from_millis(500);
/// The pool does not shrink for so long after it has grown
/// (`AUTOSCALE_KEEPALIVE`).
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Between which bounds the pool follows the load.
pub(crate) struct Autoscaler(Mutex<State>);

struct State {
    max: usize,
    min: usize,
    grown: Instant,
}

impl State {
    /// How many slots so many requests take: one at least.
    fn fit(&self, load: usize) -> usize {
        load.max(self.min).min(self.max).max(1)
    }
}

impl Autoscaler {
    pub fn new((max, min): (usize, usize)) -> Self {
        Self(Mutex::new(State {
            max,
            min,
            grown: Instant::now(),
        }))
    }

    /// Sets other bounds; answers those of now, the upper one first.
    pub fn update(&self, pool: &Pool, max: Option<usize>, min: Option<usize>) -> (usize, usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.min = min.unwrap_or(state.min);
        state.max = max.unwrap_or(state.max);
        resize(pool, state.fit(pool.size()));
        (state.max, state.min)
    }

    /// Fits the pool to so many requests.
    fn scale(&self, pool: &Pool, load: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, fit) = (pool.size(), state.fit(load));
        if fit > size {
            state.grown = Instant::now();
            resize(pool, fit);
        } else if fit < size && state.grown.elapsed() > KEEPALIVE {
            resize(pool, fit);
        }
    }

    /// As `inspect stats` shows it.
    pub fn info(&self, pool: &Pool, load: usize) -> Value {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"max": state.max, "min": state.min, "current": pool.size(), "qty": load})
    }
}

fn resize(pool: &Pool, size: usize) {
    let now = pool.size();
    if size > now {
        tracing::info!("Scaling up {} slots.", size - now);
        pool.grow(size - now);
    } else if size < now && pool.shrink(now - size).is_ok() {
        tracing::info!("Scaling down {} slots.", now - size);
    }
}

/// Fits the pool to the load, until aborted.
pub(super) async fn keep(shared: Arc<Shared>) {
    let Some(autoscaler) = &shared.autoscaler else {
        return;
    };
    let mut rounds = interval(ROUND);
    loop {
        rounds.tick().await;
        autoscaler.scale(&shared.pool, shared.requests.reserved());
        shared.children.fit();
    }
}
