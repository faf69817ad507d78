//! Where a call goes (`celery.app.routes.Router`, and `send_task_message` of
//! `celery.app.amqp`).

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::App;
use crate::broker::Outgoing;
use crate::broker::Queue;
use crate::canvas::{Canvas, Options, Signature};
use crate::client::queue_table::QueueTable;
use crate::config::{ExchangeType, Route};
use crate::error::Error;
use crate::message::Message;
use crate::value::lenient::as_text;

impl App {
    /// Where a call goes, if a router or `task_routes` knows. What the call
    /// itself says is not looked at, and wins.
    pub fn route(&self, signature: &Signature) -> Option<Route> {
        let asked = as_routed(signature);
        let routes = &self.settings().task_routes;
        self.ask_routers(&asked)
            .or_else(|| routes.lookup(&asked.task).cloned())
    }
}

/// Where a message goes: as its call says, and, of what that leaves out, as the
/// route does. Word for word: a queue of the call's beside the exchange and the
/// routing key of its route is such an exchange's.
pub(crate) struct Destination {
    /// The queue that the call would go to without an exchange.
    pub queue: String,
    exchange: Option<String>,
    exchange_type: Option<ExchangeType>,
    routing_key: Option<String>,
}

impl Destination {
    /// `route` may have become empty: what it says goes to its place here.
    ///
    /// # Errors
    /// [`Error::Json`] if an option cannot be what it says that it is.
    pub fn of(options: &Options, route: &mut Route, default_queue: &str) -> Result<Self, Error> {
        let queue = options.queue.clone().or_else(|| route.queue.take());
        let extra = &options.extra;
        Ok(Self {
            queue: queue.unwrap_or_else(|| default_queue.to_owned()),
            exchange: name(extra, "exchange").or_else(|| route.exchange.take()),
            exchange_type: option(extra, "exchange_type")?.or(route.exchange_type),
            routing_key: name(extra, "routing_key").or_else(|| route.routing_key.take()),
        })
    }

    /// The message on its way, `queue` being the one that it names.
    pub fn address(self, queue: &Queue, table: &QueueTable, mut message: Message) -> Outgoing {
        let exchange_type = self.exchange_type.unwrap_or(queue.exchange_type());
        let whole = self.exchange.is_some() && self.routing_key.is_some();
        if exchange_type == ExchangeType::Direct && !whole {
            // Straight into the queue, as Celery does it: its exchange would
            // bring it there.
            return Outgoing::direct(self.queue, message);
        }
        let bound = queue.main.as_ref().filter(|_| self.exchange.is_none());
        let (exchange, key) = bound.map_or(("", None), |bound| {
            (&*bound.exchange, Some(&*bound.routing_key))
        });
        let address = &mut message.delivery_info;
        address.exchange = self.exchange.unwrap_or_else(|| exchange.to_owned());
        address.routing_key = self.routing_key.or_else(|| key.map(str::to_owned));
        let is_fanout = exchange_type == ExchangeType::Fanout || table.is_fanout(&address.exchange);
        Outgoing {
            exchange_type: match is_fanout {
                true => ExchangeType::Fanout,
                false => ExchangeType::Topic,
            },
            declares: match bound.is_some() && !is_fanout {
                true => queue.bindings().cloned().collect(),
                false => Vec::new(),
            },
            ..Outgoing::direct(self.queue, message)
        }
    }
}

/// The name that an option says: kombu's `Exchange` may be there as a dict.
fn name(options: &Map<String, Value>, option: &str) -> Option<String> {
    let value = options.get(option)?;
    let name = as_text(value.get("name").unwrap_or(value).clone())?;
    Some(name).filter(|name| !name.is_empty())
}

/// An option that must be what it says that it is.
pub(crate) fn option<T: DeserializeOwned>(
    options: &Map<String, Value>,
    name: &str,
) -> Result<Option<T>, serde_json::Error> {
    let given = options.get(name).filter(|value| !value.is_null());
    given.cloned().map(serde_json::from_value).transpose()
}

/// A map goes where its task goes.
fn as_routed(call: &Signature) -> Cow<'_, Signature> {
    let mapped = match call.canvas {
        Canvas::Map | Canvas::Starmap => call.kwargs.get("task"),
        _ => None,
    };
    match mapped.and_then(|task| task.get("task")?.as_str()) {
        Some(task) => Cow::Owned(Signature {
            task: task.to_owned(),
            ..call.clone()
        }),
        None => Cow::Borrowed(call),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::canvas::{CanvasError, Plan, chain};
    use crate::client::Lineage;
    use crate::config::{Config, QueueSetting, Settings};
    use crate::error::Error;

    fn app() -> Result<App, Error> {
        let text = "'t.*' = 'by-settings'\n'*' = { queue = 'rest', priority = 3 }";
        let text = format!("[task_routes]\n{text}");
        let config = Config::parse("celeryconfig.toml", text, [], &[])?;
        App::new(Settings {
            task_queues: vec![
                QueueSetting {
                    exchange: Some("news".to_owned()),
                    exchange_type: ExchangeType::Fanout,
                    name: "news".to_owned(),
                    ..QueueSetting::default()
                },
                QueueSetting {
                    exchange: Some("orders".to_owned()),
                    exchange_type: ExchangeType::Topic,
                    routing_key: Some("orders.#".to_owned()),
                    ..QueueSetting::named("all")
                },
            ],
            task_default_queue: "usual".to_owned(),
            ..config.settings().clone()
        })
    }

    fn sent(app: &App, call: impl Into<Signature>) -> Result<Outgoing, Error> {
        let (plan, _) = Plan::of(call.into())?;
        let mut messages = app.prepare(plan, &Lineage::default())?.into_messages();
        Ok(messages.pop().ok_or(CanvasError::EmptyChain)?)
    }

    fn queue(app: &App, call: impl Into<Signature>) -> Result<String, Error> {
        Ok(sent(app, call)?.queue)
    }

    // Addresses are opened in a runtime, though nobody connects.
    #[tokio::test]
    async fn the_first_that_knows_decides() -> Result<(), Error> {
        let app = app()?
            .with_router(|call| (call.args.first()? == 1).then(|| "one".into()))
            .with_router(|call| (call.task == "t.two").then(|| "two".into()))
            .with_router(|_| None);
        let task = |name: &str| Signature::new(name);
        assert_eq!(queue(&app, task("t.two").arg(1))?, "one");
        assert_eq!(queue(&app, task("t.two").arg(2))?, "two");
        assert_eq!(queue(&app, task("t.three"))?, "by-settings");
        assert_eq!(queue(&app, task("t.two").arg(1).queue("mine"))?, "mine");
        assert_eq!(queue(&app, chain([task("t.two"), task("x")]))?, "two");
        Ok(())
    }

    #[tokio::test]
    async fn a_router_gives_a_priority_too_and_sees_the_task_of_a_map() -> Result<(), Error> {
        let app = app()?.with_router(|call| {
            let route = Route {
                priority: Some(9),
                ..Route::default()
            };
            (call.task == "t.mapped").then_some(route)
        });
        let map = json!({
            "task": "celery.map", "args": [], "options": {}, "subtask_type": "xmap",
            "kwargs": {"task": {"task": "t.mapped"}, "it": [1, 2]},
        });
        let map: Signature = serde_json::from_value(map)?;
        let sent = sent(&app, map)?;
        assert_eq!(sent.message.properties.priority, Some(9));
        assert_eq!(sent.queue, "usual");
        Ok(())
    }

    #[tokio::test]
    async fn an_exchange_needs_a_routing_key() -> Result<(), Error> {
        let call = |options: Value| -> Result<Signature, Error> {
            let call = json!({"task": "t", "args": [], "kwargs": {}, "options": options});
            Ok(serde_json::from_value(call)?)
        };
        let whole = sent(&app()?, call(json!({"exchange": "x", "routing_key": "k"}))?)?;
        let address = &whole.message.delivery_info;
        assert_eq!(whole.exchange_type, ExchangeType::Topic);
        assert_eq!(
            (&*address.exchange, address.routing_key.as_deref()),
            ("x", Some("k"))
        );
        for half in [json!({"exchange": "x"}), json!({"routing_key": "k"})] {
            let half = sent(&app()?, call(half)?)?;
            assert_eq!(half.exchange_type, ExchangeType::Direct);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_broadcast_is_addressed_by_its_exchange() -> Result<(), Error> {
        let news = sent(&app()?, Signature::new("t").queue("news"))?;
        let address = &news.message.delivery_info;
        assert_eq!(news.exchange_type, ExchangeType::Fanout);
        assert_eq!(address.exchange, "news");
        assert_eq!(address.routing_key.as_deref(), Some("usual"));
        let plain = sent(&app()?, Signature::new("t").queue("olds"))?;
        let address = &plain.message.delivery_info;
        assert_eq!(plain.exchange_type, ExchangeType::Direct);
        assert_eq!(address.exchange, "");
        assert_eq!(address.routing_key.as_deref(), Some("olds"));
        Ok(())
    }

    #[tokio::test]
    async fn a_topic_queue_is_reached_by_its_exchange() -> Result<(), Error> {
        let new = Signature::new("t").queue("all");
        let address = |call| -> Result<_, Error> {
            let sent = sent(&app()?, call)?;
            let declared = sent.declares.len();
            let address = sent.message.delivery_info;
            Ok((
                sent.exchange_type,
                address.exchange,
                address.routing_key,
                declared,
            ))
        };
        let by = |key: &str| {
            (
                ExchangeType::Topic,
                "orders".to_owned(),
                Some(key.to_owned()),
                1,
            )
        };
        assert_eq!(address(new.clone())?, by("orders.#"));
        let mut keyed = new;
        keyed
            .options
            .extra
            .insert("routing_key".to_owned(), "orders.new".into());
        assert_eq!(address(keyed)?, by("orders.new"));
        Ok(())
    }

    /// As `lpmerge` does: option by option.
    #[tokio::test]
    async fn a_call_says_part_of_where_it_goes_and_its_route_the_rest() -> Result<(), Error> {
        let app = app()?.with_router(|_| {
            Some(Route {
                exchange: Some("x".to_owned()),
                routing_key: Some("k".to_owned()),
                delivery_mode: Some(crate::value::DeliveryMode::Transient),
                ..Route::default()
            })
        });
        let sent = sent(&app, Signature::new("t").queue("mine"))?;
        let properties = &sent.message.properties;
        let address = &sent.message.delivery_info;
        assert_eq!((&*sent.queue, &*address.exchange), ("mine", "x"));
        assert_eq!(address.routing_key.as_deref(), Some("k"));
        assert_eq!(properties.delivery_mode, Some(1));
        Ok(())
    }
}
