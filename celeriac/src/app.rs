//! The application: configuration, connections, routes and sending
//! (`celery.app.base.Celery`).

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serde_json::{Value, json};

use crate::canvas::Lineage;
use crate::canvas::Signature;
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, hide_password};
use crate::events;
use crate::message::Envelope;
use crate::results::redis::RedisResults;
use crate::results::{AsyncResult, ResultStore};
use crate::task::Context;
use crate::transport::redis::RedisTransport;
use crate::transport::{Outgoing, Transport};

/// An application. Cheap to clone; connects when first used.
///
/// ```no_run
/// use celeriac::{App, Settings, Signature};
/// # async fn example() -> Result<(), celeriac::Error> {
/// let app = App::new(Settings::default())?;
/// let result = app.send(Signature::new("tasks.add").arg(2).arg(2)).await?;
/// let four: i64 = result.get(std::time::Duration::from_secs(10)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    settings: Settings,
    transport: Arc<dyn Transport>,
    results: Option<Arc<dyn ResultStore>>,
    /// `gen<pid>@<host>`, the `origin` of what is sent.
    origin: String,
    clock: Clock,
}

impl App {
    /// An application with these settings.
    ///
    /// # Errors
    /// [`Error::Url`] if the broker's or the backend's address is not one of
    /// Redis.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let options = settings.broker_transport_options.clone();
        let transport = Arc::new(RedisTransport::new(&settings.broker_url, options)?);
        let results = settings.result_backend.as_deref().map(|url| {
            let store = RedisResults::new(url, settings.result_expires)?;
            Ok::<_, Error>(Arc::new(store) as Arc<dyn ResultStore>)
        });
        Ok(Self(Arc::new(Inner {
            results: results.transpose()?,
            transport,
            origin: format!("gen{}@{}", std::process::id(), hostname()),
            clock: Clock::default(),
            settings,
        })))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The logical clock that it shares with other workers.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Where messages go.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.0.transport
    }

    /// Where results go, if they are kept.
    pub fn result_store(&self) -> Option<&Arc<dyn ResultStore>> {
        self.0.results.as_ref()
    }

    /// The broker's address without its password.
    pub fn broker_address(&self) -> String {
        hide_password(&self.settings().broker_url)
    }

    /// The handle of a task that was sent before.
    pub fn async_result(&self, task_id: impl Into<String>) -> AsyncResult {
        AsyncResult::new(self.clone(), task_id.into())
    }

    /// Sends a task. Within a task, what is sent is that task's child.
    pub async fn send(&self, signature: Signature) -> Result<AsyncResult, Error> {
        let id = self.prepare_and_publish(vec![signature]).await?.pop();
        Ok(self.async_result(id.unwrap_or_default()))
    }

    /// Sends many tasks in one round trip; handles in the same order.
    pub async fn send_many(
        &self,
        signatures: impl IntoIterator<Item = Signature>,
    ) -> Result<Vec<AsyncResult>, Error> {
        let ids = self
            .prepare_and_publish(signatures.into_iter().collect())
            .await?;
        Ok(ids.into_iter().map(|id| self.async_result(id)).collect())
    }

    async fn prepare_and_publish(&self, signatures: Vec<Signature>) -> Result<Vec<String>, Error> {
        let parent = Context::current();
        let lineage = parent.as_ref().map(lineage).unwrap_or_default();
        let messages = signatures
            .into_iter()
            .map(|signature| self.message(signature, &lineage))
            .collect::<Result<Vec<_>, _>>()?;
        self.publish(&messages).await?;
        let ids: Vec<String> = messages
            .into_iter()
            .map(|m| m.envelope.headers.id)
            .collect();
        if let Some(parent) = parent {
            ids.iter().for_each(|id| parent.add_child(child(id)));
        }
        Ok(ids)
    }

    /// The message of a signature, routed.
    pub(crate) fn message(
        &self,
        signature: Signature,
        lineage: &Lineage,
    ) -> Result<Outgoing, Error> {
        let settings = self.settings();
        let route = settings
            .task_routes
            .lookup(&signature.task)
            .cloned()
            .unwrap_or_default();
        let queue = signature.options.queue.clone().or(route.queue);
        let queue = queue.unwrap_or_else(|| settings.task_default_queue.clone());
        let priority = signature.options.priority.or(route.priority);
        let priority = priority.or(settings.task_default_priority).unwrap_or(0);
        let (headers, body) = signature.into_message(lineage, &self.0.origin);
        Ok(Outgoing {
            envelope: Envelope::new(headers, &body, &queue, priority)?,
            queue,
        })
    }

    /// Publishes under `task_publish_retry_policy`.
    pub(crate) async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let settings = self.settings();
        let policy = settings.task_publish_retry_policy;
        let retries = if settings.task_publish_retry {
            policy.max_retries
        } else {
            0
        };
        let pause = Duration::from_secs_f64(policy.interval_step.max(0.05));
        let backoff = ExponentialBuilder::default()
            .with_min_delay(pause)
            .with_max_delay(Duration::from_secs_f64(policy.interval_max.max(0.05)))
            .with_max_times(retries);
        (|| self.transport().publish(messages))
            .retry(backoff)
            .await?;
        self.tell_of(messages).await;
        Ok(())
    }

    /// Sends the events of messages that have been sent, if
    /// `task_send_sent_event` asks for them.
    pub(crate) async fn tell_of(&self, messages: &[Outgoing]) {
        if !self.settings().task_send_sent_event {
            return;
        }
        let exchange = &self.settings().event_exchange;
        let events = events::sent(messages, &self.0.origin, self.clock(), exchange);
        if let Err(error) = self.transport().broadcast(&events).await {
            tracing::debug!(%error, "cannot tell what has been sent");
        }
    }
}

/// What a child of this task inherits.
pub(crate) fn lineage(parent: &Context) -> Lineage {
    let headers = parent.headers();
    Lineage {
        root_id: headers.root_id.clone().or_else(|| Some(headers.id.clone())),
        parent_id: Some(headers.id.clone()),
    }
}

/// A child as its parent's result lists it: `AsyncResult.as_tuple()`, whose
/// parent is the task before it in a chain.
pub(crate) fn child(id: &str) -> Value {
    json!([[id, null], null])
}

/// This machine's name.
pub(crate) fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned())
}
