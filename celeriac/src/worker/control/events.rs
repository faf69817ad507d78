//! enable_events, disable_events, heartbeat.

use std::sync::Arc;

use serde_json::Value;

use super::command::{Answer, Refusal};
use crate::worker::Shared;
use crate::worker::heartbeat;

pub(super) fn enable(shared: &Shared) -> Result<Answer, Refusal> {
    if shared.events.enable(true) {
        return Answer::ok("task events already enabled");
    }
    tracing::info!("Events of group {{task}} enabled by remote.");
    Answer::ok("task events enabled")
}

pub(super) fn disable(shared: &Shared) -> Result<Answer, Refusal> {
    if !shared.events.enable(false) {
        return Answer::ok("task events already disabled");
    }
    tracing::info!("Events of group {{task}} disabled by remote.");
    Answer::ok("task events disabled")
}

pub(super) fn heartbeat(shared: &Arc<Shared>) -> Result<Answer, Refusal> {
    let events = shared.events.clone();
    Ok(Answer::Later(Box::pin(async move {
        heartbeat::on_demand(&events).await;
        Value::Null
    })))
}
