//! Watches other workers (`celery/worker/consumer/gossip.py`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::interval;

use super::election;
use crate::broker::Notice;
use crate::value::json;
use crate::worker::Shared;

/// How often to look who is missing.
const ROUND: Duration = Duration::from_secs(5);
/// A worker is missing after so many of its heartbeats' intervals.
const EXPIRE_WINDOW: f64 = 2.0;

/// What any event of a worker says.
#[derive(Deserialize)]
struct WorkerEvent {
    hostname: String,
    #[serde(default)]
    clock: Option<u64>,
    #[serde(default)]
    freq: Option<f64>,
}

/// Until when each of the others is taken to be alive.
#[derive(Default)]
struct Others(HashMap<String, Instant>);

/// Watches what other workers tell of themselves, until aborted.
pub(crate) async fn gossip(shared: Arc<Shared>) {
    let exchange = &shared.app.settings().event_exchange;
    let mut events = match shared.beside.subscribe(exchange, "worker.#").await {
        Ok(events) => events,
        Err(error) => return tracing::error!(%error, "cannot hear of other workers"),
    };
    let mut others = Others::default();
    let mut rounds = interval(ROUND);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => hear(&shared, &event, &mut others).await,
                None => return,
            },
            _ = rounds.tick() => others.forget_missing(),
        }
    }
}

async fn hear(shared: &Arc<Shared>, event: &Notice, others: &mut Others) {
    match event.routing_key.as_str() {
        "worker.elect" => return election::on_elect(shared, &event.body),
        "worker.elect.ack" => return election::on_ack(shared, &event.body, others.alive()).await,
        _ => {}
    }
    let Ok(told) = json::from_slice::<WorkerEvent>(&event.body) else {
        return;
    };
    let clock = shared.app.clock();
    match told.clock {
        Some(other) if *told.hostname != *shared.nodename => clock.adjust(other),
        _ => clock.forward(),
    };
    if *told.hostname != *shared.nodename {
        others.hear(told, event.routing_key == "worker.offline");
    }
}

impl Others {
    fn hear(&mut self, told: WorkerEvent, leaves: bool) {
        if leaves {
            tracing::debug!("gossip: {} is gone", told.hostname);
            self.0.remove(&told.hostname);
            return;
        }
        let window = told.freq.unwrap_or(60.0) * EXPIRE_WINDOW;
        let window = Duration::try_from_secs_f64(window).unwrap_or(ROUND);
        if !self.0.contains_key(&told.hostname) {
            tracing::debug!("gossip: {} is there", told.hostname);
        }
        self.0.insert(told.hostname, Instant::now() + window);
    }

    fn alive(&self) -> usize {
        let now = Instant::now();
        self.0.values().filter(|until| **until > now).count()
    }

    fn forget_missing(&mut self) {
        let now = Instant::now();
        self.0.retain(|hostname, until| {
            let alive = *until > now;
            if !alive {
                tracing::info!("missed heartbeat from {hostname}");
            }
            alive
        });
    }
}
