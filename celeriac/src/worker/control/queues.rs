//! add_consumer, cancel_consumer, active_queues.

use std::sync::Arc;

use serde_json::{Value, json};

use super::command::{Answer, Arguments, Refusal};
use crate::broker::Binding;
use crate::broker::ExchangeType;
use crate::broker::Queue;
use crate::worker::Shared;

pub(super) fn add_consumer(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let queue = arguments.text("queue")?;
    let binding = binding(&queue, arguments)?;
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
    shared.queues.cancel(&queue);
    Answer::ok(format!("no longer consuming from {queue}"))
}

pub(super) fn active_queues(shared: &Shared) -> Result<Answer, Refusal> {
    let names = shared.queues.names();
    let broadcasts = &shared.queues.broadcasts;
    let describe = |name: &Arc<str>| match broadcasts.filling(name) {
        Some(broadcast) => broadcast_as_dict(broadcast, broadcasts.alias(broadcast)),
        None => queue_as_dict(&shared.queues.get(name)),
    };
    Answer::now(names.iter().map(describe).collect::<Vec<_>>())
}

/// As `kombu.Queue.as_dict`.
fn queue_as_dict(queue: &Queue) -> Value {
    let (mut exchange, mut routing_key) = (Value::Null, "");
    if let Some(main) = &queue.main {
        exchange = exchange_as_dict(&main.exchange, main.exchange_type);
        exchange["delivery_mode"] = json!(queue.delivery_mode);
        routing_key = &main.routing_key;
    }
    let mut dict = as_dict(&queue.name, exchange, routing_key);
    dict["bindings"] = queue.others.iter().map(binding_as_dict).collect();
    dict
}

/// As `kombu.binding.as_dict`.
fn binding_as_dict(binding: &Binding) -> Value {
    json!({
        "exchange": exchange_as_dict(&binding.exchange, binding.exchange_type),
        "routing_key": binding.routing_key,
        "arguments": null,
        "unbind_arguments": null,
    })
}

/// As `kombu.common.Broadcast.as_dict`.
fn broadcast_as_dict(broadcast: &Binding, alias: Option<&Arc<str>>) -> Value {
    let exchange = exchange_as_dict(&broadcast.exchange, ExchangeType::Fanout);
    let mut queue = as_dict(&broadcast.queue, exchange, &broadcast.routing_key);
    queue["auto_delete"] = true.into();
    queue["alias"] = json!(alias);
    queue["queue"] = (*broadcast.queue).into();
    queue
}

/// As `kombu.Exchange.as_dict`.
fn exchange_as_dict(name: &str, exchange_type: ExchangeType) -> Value {
    json!({
        "name": name,
        "type": exchange_type,
        "arguments": null,
        "durable": true,
        "passive": false,
        "auto_delete": false,
        "delivery_mode": null,
        "no_declare": false,
    })
}

fn as_dict(name: &str, exchange: Value, routing_key: &str) -> Value {
    json!({
        "name": name,
        "exchange": exchange,
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
