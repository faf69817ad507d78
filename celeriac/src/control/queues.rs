//! add_consumer, cancel_consumer, active_queues.

use std::sync::Arc;

use serde_json::{Value, json};

use super::command::{Answer, Arguments, Refusal};
use crate::config::ExchangeType;
use crate::transport::{Binding, Broadcast};
use crate::worker::Shared;

pub(super) fn add_consumer(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let queue = arguments.text("queue")?;
    let binding = binding(queue, arguments)?;
    if shared.queues.add(binding) {
        tracing::info!("Started consuming from {queue}");
    }
    Answer::ok(format!("add consumer {queue}"))
}

/// As `Queues.add_compat` has it: what is not given is the queue's name.
fn binding(queue: &str, arguments: &Arguments) -> Result<Binding, Refusal> {
    let named = |name| match arguments.get(name).filter(|value| **value != "") {
        Some(_) => arguments.text(name).map(Into::into),
        None => Ok(queue.into()),
    };
    let exchange_type = match arguments.get("exchange_type").map(Value::as_str) {
        None | Some(Some("" | "direct")) => ExchangeType::Direct,
        Some(Some("topic")) => ExchangeType::Topic,
        Some(other) => {
            let text = format!(
                "cannot consume by an exchange of type {:?}: only direct and topic",
                other.unwrap_or_default()
            );
            return Err(Refusal::python("ValueError", &text));
        }
    };
    Ok(Binding {
        queue: queue.into(),
        exchange: named("exchange")?,
        exchange_type,
        routing_key: named("routing_key")?,
    })
}

pub(super) fn cancel_consumer(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let queue = arguments.text("queue")?;
    tracing::info!("Canceling queue {queue}");
    shared.queues.cancel(queue);
    Answer::ok(format!("no longer consuming from {queue}"))
}

pub(super) fn active_queues(shared: &Shared) -> Result<Answer, Refusal> {
    let names = shared.queues.names();
    let broadcasts = &shared.queues.broadcasts;
    let describe = |name: &Arc<str>| match broadcasts.filling(name) {
        Some(broadcast) => broadcast_as_dict(broadcast),
        None => bound_as_dict(&shared.queues.binding(name)),
    };
    Answer::now(names.iter().map(describe).collect::<Vec<_>>())
}

/// As `kombu.Queue.as_dict`.
fn bound_as_dict(binding: &Binding) -> Value {
    let mut queue = as_dict(&binding.queue, &binding.exchange, &binding.routing_key);
    queue["exchange"]["type"] = json!(binding.exchange_type);
    queue
}

/// As `kombu.common.Broadcast.as_dict`.
fn broadcast_as_dict(broadcast: &Broadcast) -> Value {
    let (name, exchange) = (&broadcast.queue, &broadcast.exchange);
    let mut queue = as_dict(name, exchange, &broadcast.routing_key);
    queue["exchange"]["type"] = "fanout".into();
    queue["auto_delete"] = true.into();
    queue["alias"] = (**exchange).into();
    queue["queue"] = (**name).into();
    queue
}

/// As `kombu.Queue.as_dict`, bound to a direct exchange.
fn as_dict(name: &str, exchange: &str, routing_key: &str) -> Value {
    json!({
        "name": name,
        "exchange": {
            "name": exchange,
            "type": "direct",
            "arguments": null,
            "durable": true,
            "passive": false,
            "auto_delete": false,
            "delivery_mode": null,
            "no_declare": false,
        },
        "routing_key": routing_key,
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
