//! add_consumer, cancel_consumer, active_queues.

use serde_json::{Value, json};

use super::command::{Answer, Arguments, Refusal};
use crate::worker::Shared;

pub(super) fn add_consumer(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let queue = arguments.text("queue")?;
    if shared.queues.add(queue) {
        tracing::info!("Started consuming from {queue}");
    }
    Answer::ok(format!("add consumer {queue}"))
}

pub(super) fn cancel_consumer(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let queue = arguments.text("queue")?;
    tracing::info!("Canceling queue {queue}");
    shared.queues.cancel(queue);
    Answer::ok(format!("no longer consuming from {queue}"))
}

pub(super) fn active_queues(shared: &Shared) -> Result<Answer, Refusal> {
    let names = shared.queues.names();
    Answer::now(names.iter().map(|name| as_dict(name)).collect::<Vec<_>>())
}

/// As `kombu.Queue.as_dict`, bound to the direct exchange of its own name.
fn as_dict(name: &str) -> Value {
    json!({
        "name": name,
        "exchange": {
            "name": name,
            "type": "direct",
            "arguments": null,
            "durable": true,
            "passive": false,
            "auto_delete": false,
            "delivery_mode": null,
            "no_declare": false,
        },
        "routing_key": name,
        "queue_arguments": null,
        "binding_arguments": null,
        "consumer_arguments": null,
        "durable": true,
        "exclusive": false,
        "auto_delete": false,
        "no_ack": false,
        "alias": null,
        "bindings": [],
        "no_declare": null,
        "expires": null,
        "message_ttl": null,
        "max_length": null,
        "max_length_bytes": null,
        "max_priority": null,
    })
}
