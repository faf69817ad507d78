//! The worker's own events (`celery/worker/heartbeat.py`).

use std::time::Duration;

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Shared;
use crate::events::{Dispatcher, Software};

/// What is between two heartbeats if nobody says otherwise.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// The farewell may not hold up the end for longer.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the worker is.
#[derive(Serialize)]
struct Heartbeat {
    freq: f64,
    active: usize,
    processed: u64,
    loadavg: [f64; 3],
    #[serde(flatten)]
    software: Software,
}

impl Heartbeat {
    fn of(shared: &Shared, interval: Duration) -> Self {
        Self {
            freq: interval.as_secs_f64(),
            active: shared.requests.active(),
            processed: shared.requests.processed(),
            loadavg: load_average(),
            software: Software::THIS,
        }
    }
}

/// Says that the worker is there, and again and again, until aborted.
pub(crate) async fn beat(shared: &Shared, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kind = "worker-online";
    loop {
        ticks.tick().await;
        match shared
            .events
            .worker(kind, Heartbeat::of(shared, every))
            .await
        {
            Ok(()) => kind = "worker-heartbeat",
            Err(error) => {
                tracing::debug!(%error, "cannot send a heartbeat");
                kind = "worker-online";
            }
        }
    }
}

/// Says that the worker leaves.
pub(crate) async fn leave(shared: &Shared, interval: Duration) {
    let farewell = async {
        shared.events.flush().await?;
        let last = Heartbeat::of(shared, interval);
        shared.events.worker("worker-offline", last).await
    };
    // Who watches notices without it, too, only later.
    if !matches!(timeout(FAREWELL, farewell).await, Ok(Ok(()))) {
        tracing::debug!("cannot say that the worker leaves");
    }
}

/// Tells what is left to tell of tasks.
pub(crate) async fn leave_unsaid(shared: &Shared) {
    if shared.is_broker_lost() {
        return;
    }
    if !matches!(timeout(FAREWELL, shared.events.flush()).await, Ok(Ok(()))) {
        tracing::debug!("cannot send the last events");
    }
}

/// The heartbeat that somebody asked for; it says less.
pub(crate) async fn on_demand(events: &Dispatcher) {
    #[derive(Serialize)]
    struct Asked {
        freq: u8,
        #[serde(flatten)]
        software: Software,
    }
    let asked = Asked {
        freq: 5,
        software: Software::THIS,
    };
    if let Err(error) = events.worker("worker-heartbeat", asked).await {
        tracing::debug!(%error, "cannot send a heartbeat");
    }
}

/// The system's load, rounded up to hundredths as Celery does.
fn load_average() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut loads = text.split(' ').map(|load| load.parse().unwrap_or(0.0));
    std::array::from_fn(|_| (loads.next().unwrap_or(0.0_f64) * 100.0).ceil() / 100.0)
}
