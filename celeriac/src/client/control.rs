//! Asks workers (`celery.app.control.Control`).

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::App;
use crate::broker::{Notice, Subscription};
use crate::error::Error;
use crate::value::json;

/// Sends commands to workers.
///
/// ```no_run
/// # use celeriac::{App, Settings, client::Control};
/// # async fn example() -> Result<(), celeriac::Error> {
/// let app = App::new(Settings::default())?;
/// let answers = Control::new(&app).call("ping", serde_json::json!({})).await?;
/// for (worker, answer) in answers {
///     println!("{worker}: {answer}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Control {
    app: App,
    destination: Option<Vec<String>>,
    timeout: Duration,
}

impl Control {
    /// Commands to all workers; answers are waited for for a second.
    pub fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            destination: None,
            timeout: Duration::from_secs(1),
        }
    }

    /// Only to these workers, by nodename. Nobody else is waited for.
    #[must_use]
    pub fn destination<N: Into<String>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.destination = Some(nodes.into_iter().map(Into::into).collect());
        self
    }

    /// Waits this long for answers.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends a command and does not wait for answers. `arguments` is a map.
    pub async fn cast(&self, command: &str, arguments: Value) -> Result<(), Error> {
        let message = self.message(command, arguments, Map::new())?;
        self.app.broker().broadcast(&[message]).await?;
        Ok(())
    }

    /// Sends a command; what each worker answered in time, by nodename.
    pub async fn call(
        &self,
        command: &str,
        arguments: Value,
    ) -> Result<IndexMap<String, Value>, Error> {
        let settings = self.app.settings();
        let exchange = format!("reply.{}.pidbox", settings.control_exchange);
        let (address, ticket) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let expires = Duration::try_from_secs_f64(settings.control_queue_expires);
        let broker = self.app.broker();
        let replies = broker
            .replies(&exchange, &address, expires.unwrap_or_default())
            .await?;
        let reply_to = json!({"exchange": exchange, "routing_key": address});
        let asking = [("ticket", ticket.into()), ("reply_to", reply_to)];
        let asking = asking.map(|(name, value)| (name.to_owned(), value));
        let message = self.message(command, arguments, asking.into_iter().collect())?;
        let heard = broker.broadcast(&[message]).await?;
        let named = self.destination.as_ref().map(Vec::len);
        Ok(self.collect(replies, named.or(heard)).await)
    }

    /// Waits for answers, no longer than until all who heard have answered.
    async fn collect(
        &self,
        mut replies: Subscription,
        expected: Option<usize>,
    ) -> IndexMap<String, Value> {
        let deadline = Instant::now() + self.timeout;
        let mut answers = IndexMap::new();
        while expected.is_none_or(|expected| answers.len() < expected) {
            let Ok(Some(reply)) = timeout_at(deadline, replies.next()).await else {
                break;
            };
            if let Some(clock) = reply.headers.get("clock").and_then(Value::as_u64) {
                self.app.clock().adjust(clock);
            }
            let accept = &self.app.settings().accept_content.0;
            answers.extend(reply.read::<Map<String, Value>>(accept).unwrap_or_default());
        }
        answers
    }

    fn message(
        &self,
        command: &str,
        arguments: Value,
        asking: Map<String, Value>,
    ) -> Result<Notice, Error> {
        let mut body = json!({
            "method": command,
            "arguments": arguments,
            "destination": self.destination,
            "pattern": null,
            "matcher": null,
        });
        if let Value::Object(body) = &mut body {
            body.extend(asking);
        }
        let clock = self.app.clock().forward();
        Ok(Notice {
            exchange: format!("{}.pidbox", self.app.settings().control_exchange),
            routing_key: String::new(),
            headers: Map::from_iter([("clock".to_owned(), clock.into())]),
            serializer: self.app.settings().task_serializer,
            body: json::to_vec(&body)?,
        })
    }
}
