//! task-sent, which producers send (`celery.app.amqp.AMQP.send_task_message`).

use serde::Serialize;
use serde_json::{Map, Value};

use crate::broker::{Notice, Outgoing};
use crate::clock::Clock;
use crate::events::Event;
use crate::value::{Serializer, json};

#[derive(Serialize)]
struct Sent<'a> {
    uuid: &'a str,
    root_id: Option<&'a str>,
    parent_id: Option<&'a str>,
    name: &'a str,
    args: Option<&'a str>,
    kwargs: Option<&'a str>,
    retries: u32,
    eta: Option<&'a str>,
    expires: Option<&'a str>,
    queue: &'a str,
    exchange: &'a str,
    routing_key: Option<&'a str>,
}

/// The events of messages that `origin` has sent.
pub(crate) fn sent(
    messages: &[Outgoing],
    origin: &str,
    clock: &Clock,
    exchange: &str,
) -> Vec<Notice> {
    let notice = |message: &Outgoing| {
        let event = Event::new("task-sent", origin, clock.forward(), Sent::of(message));
        Some(Notice {
            exchange: exchange.to_owned(),
            routing_key: "task.sent".to_owned(),
            headers: Map::from_iter([("hostname".to_owned(), Value::from(origin))]),
            serializer: Serializer::Json,
            body: json::to_vec(&event).ok()?,
        })
    };
    messages.iter().filter_map(notice).collect()
}

impl<'a> Sent<'a> {
    fn of(message: &'a Outgoing) -> Self {
        let headers = &message.message.headers;
        let address = &message.message.delivery_info;
        Self {
            uuid: &headers.id,
            root_id: headers.root_id.as_deref(),
            parent_id: headers.parent_id.as_deref(),
            name: &headers.task,
            args: headers.argsrepr.as_deref(),
            kwargs: headers.kwargsrepr.as_deref(),
            retries: headers.retries,
            eta: headers.eta.as_deref(),
            expires: headers.expires.as_deref(),
            queue: &message.queue,
            exchange: &address.exchange,
            routing_key: address.routing_key.as_deref(),
        }
    }
}
