//! Which queue a call goes to, and how a queue is reached
//! (`celery.app.routes.Router`).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::app::App;
use crate::canvas::{Canvas, Signature};
use crate::config::{ExchangeType, Route};
use crate::message::Envelope;
use crate::transport::Outgoing;

impl App {
    /// Where a call goes, if a router or `task_routes` knows. What the call
    /// itself says is not looked at, and wins.
    pub fn route(&self, signature: &Signature) -> Option<Route> {
        let asked = as_routed(signature);
        let routes = &self.settings().task_routes;
        self.ask_routers(&asked)
            .or_else(|| routes.lookup(&asked.task).cloned())
    }

    /// A message on its way to a queue of any kind.
    pub(crate) fn address(&self, queue: String, mut envelope: Envelope) -> Outgoing {
        let exchange_type = match self.settings().is_broadcast(&queue) {
            true => ExchangeType::Fanout,
            false => ExchangeType::Direct,
        };
        if exchange_type == ExchangeType::Fanout {
            let address = &mut envelope.properties.delivery_info;
            address.exchange.clone_from(&queue);
            address.routing_key = Some(self.settings().default_routing_key().to_owned());
        }
        Outgoing {
            queue,
            exchange_type,
            envelope,
        }
    }

    /// A message on its way to the queues that are bound to an exchange; the
    /// queue is what it would go to without one.
    pub(crate) fn address_by(
        &self,
        (exchange, routing_key): (String, String),
        queue: String,
        mut envelope: Envelope,
    ) -> Outgoing {
        let exchange_type = match self.settings().is_broadcast(&exchange) {
            true => ExchangeType::Fanout,
            false => ExchangeType::Topic,
        };
        let address = &mut envelope.properties.delivery_info;
        address.exchange = exchange;
        address.routing_key = Some(routing_key);
        Outgoing {
            queue,
            exchange_type,
            envelope,
        }
    }
}

/// The exchange and the routing key that a call asks for. One without the other
/// says nothing, as with Celery, where every queue's exchange is a direct one.
pub(crate) fn exchange_of(options: &Map<String, Value>) -> Option<(String, String)> {
    let exchange = options.get("exchange")?;
    let exchange = exchange.get("name").unwrap_or(exchange);
    let named = |name: &Value| Some(name.as_str()?.to_owned()).filter(|name| !name.is_empty());
    Some((named(exchange)?, named(options.get("routing_key")?)?))
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
    use crate::config::{Config, QueueSetting, Settings};
    use crate::error::Error;
    use crate::message::Lineage;

    fn app() -> Result<App, Error> {
        let text = "'t.*' = 'by-settings'\n'*' = { queue = 'rest', priority = 3 }";
        let text = format!("[task_routes]\n{text}");
        let config = Config::parse("celeryconfig.toml", text, [], &[])?;
        App::new(Settings {
            task_queues: vec![QueueSetting {
                name: "news".to_owned(),
                exchange_type: ExchangeType::Fanout,
            }],
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
            let priority = Some(9);
            let queue = None;
            (call.task == "t.mapped").then_some(Route { queue, priority })
        });
        let map = json!({
            "task": "celery.map", "args": [], "options": {}, "subtask_type": "xmap",
            "kwargs": {"task": {"task": "t.mapped"}, "it": [1, 2]},
        });
        let map: Signature = serde_json::from_value(map)?;
        let sent = sent(&app, map)?;
        assert_eq!(sent.envelope.properties.priority, Some(9));
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
        let address = &whole.envelope.properties.delivery_info;
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
        let address = &news.envelope.properties.delivery_info;
        assert_eq!(news.exchange_type, ExchangeType::Fanout);
        assert_eq!(address.exchange, "news");
        assert_eq!(address.routing_key.as_deref(), Some("usual"));
        let plain = sent(&app()?, Signature::new("t").queue("olds"))?;
        let address = &plain.envelope.properties.delivery_info;
        assert_eq!(plain.exchange_type, ExchangeType::Direct);
        assert_eq!(address.exchange, "");
        assert_eq!(address.routing_key.as_deref(), Some("olds"));
        Ok(())
    }
}
