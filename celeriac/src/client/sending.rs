//! Sending a canvas: its plan becomes messages, routed, and these go out
//! (`celery.app.base.Celery.send_task`).

use backon::Retryable;
use serde_json::Value;

use super::routing::{Destination, option};
use super::sent::sent;
use super::task_message::{Lineage, task_message};
use super::{App, AsyncResult, parent};
use crate::broker::Outgoing;
use crate::canvas::{Handle, Options, Plan, Signature};
use crate::config::Route;
use crate::error::Error;
use crate::message::Message;
use crate::trace::SendSpan;
use crate::value::{Compression, Format, Serializer};

/// What a plan writes and publishes. Doing it again does no harm: the ids of
/// tasks and deliveries are in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending {
    chord_sizes: Vec<(String, u64)>,
    groups: Vec<(String, Value)>,
    messages: Vec<Outgoing>,
    /// They end when all is sent, and this dropped.
    spans: Vec<SendSpan>,
}

impl Sending {
    /// One message by itself.
    pub fn message(mut outgoing: Outgoing) -> Self {
        let headers = &mut outgoing.message.headers;
        Self {
            spans: SendSpan::begin(headers, &outgoing.queue)
                .into_iter()
                .collect(),
            messages: vec![outgoing],
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What is published.
    pub fn into_messages(self) -> Vec<Outgoing> {
        self.messages
    }
}

impl App {
    /// Sends a task or a canvas. Within a task, what is sent is that task's
    /// child. As `apply_async`.
    ///
    /// # Errors
    /// [`Error::Canvas`] if it cannot be sent, [`Error::NoResultBackend`] for a
    /// chord whose results would have no place to wait in.
    pub async fn send(&self, signature: impl Into<Signature>) -> Result<AsyncResult, Error> {
        let (plan, result) = Plan::of(signature.into())?;
        let result = AsyncResult::promised(self, &plan.promises, result);
        self.send_plan(plan).await?;
        Ok(result)
    }

    /// Sends many tasks in one round trip; handles in the same order.
    pub async fn send_many<S: Into<Signature>>(
        &self,
        signatures: impl IntoIterator<Item = S>,
    ) -> Result<Vec<AsyncResult>, Error> {
        let mut plan = Plan::default();
        let results = signatures
            .into_iter()
            .map(|signature| plan.add(signature.into()))
            .collect::<Result<Vec<Handle>, _>>()?;
        let results = results
            .into_iter()
            .map(|result| AsyncResult::promised(self, &plan.promises, result))
            .collect();
        self.send_plan(plan).await?;
        Ok(results)
    }

    async fn send_plan(&self, mut plan: Plan) -> Result<(), Error> {
        for call in &plan.calls {
            call.options.check_limits()?;
        }
        let parent = parent::current();
        if let Some(parent) = &parent {
            parent.complete(&mut plan)?;
        }
        let lineage = parent.as_ref().map(|parent| parent.lineage());
        let lineage = lineage.unwrap_or_default();
        let children: Vec<Value> = plan.children().collect();
        self.submit(&self.prepare(plan, &lineage)?).await?;
        if let Some(parent) = parent {
            parent.add(children);
        }
        Ok(())
    }

    /// The messages of a plan.
    pub(crate) fn prepare(&self, plan: Plan, lineage: &Lineage) -> Result<Sending, Error> {
        let mut sending = Sending {
            chord_sizes: plan.chord_sizes,
            groups: plan.groups,
            messages: Vec::with_capacity(plan.calls.len()),
            spans: Vec::new(),
        };
        for call in plan.calls {
            let (message, span) = self.message(call, lineage)?;
            sending.messages.push(message);
            sending.spans.extend(span);
        }
        Ok(sending)
    }

    /// The message of a call, routed, and the span of sending it.
    fn message(
        &self,
        mut call: Signature,
        lineage: &Lineage,
    ) -> Result<(Outgoing, Option<SendSpan>), Error> {
        let settings = self.settings();
        let annotations = &settings.task_annotations;
        if call.options.queue.is_none() && !call.options.extra.contains_key("exchange") {
            call.options.queue = annotations.queue(&call.task).cloned();
        }
        let mut route = self.route(&call).unwrap_or_default();
        let to = Destination::of(&call.options, &mut route, &settings.task_default_queue)?;
        let table = self.queue_table();
        let queue = table.find(&to.queue)?;
        let priority = call.options.priority.or(annotations.priority(&call.task));
        let priority = priority.or(route.priority);
        let priority = priority.or(settings.task_default_priority).unwrap_or(0);
        let reply_to = call.options.reply_to.clone();
        let format = self.format(&call.options, &route)?;
        let correlation_id = call.options.correlation_id.clone();
        let delivery_mode = route.delivery_mode.or(queue.delivery_mode);
        let delivery_mode = delivery_mode.unwrap_or(settings.task_default_delivery_mode);
        let delivery_mode = call.options.delivery_mode.unwrap_or(delivery_mode.into());
        call.options.headers = call.options.headers.or(route.headers);
        let (extra, expiration) = (call.options.properties(), call.options.expiration());
        let (mut headers, body) = task_message(call, lineage, self.origin());
        let span = SendSpan::begin(&mut headers, &to.queue);
        let mut message = Message::with_format(headers, &body, &to.queue, priority, format)?;
        let properties = &mut message.properties;
        properties.reply_to = reply_to.or_else(|| Some(self.oid().to_owned()));
        properties.correlation_id = correlation_id.or(properties.correlation_id.take());
        properties.delivery_mode = Some(delivery_mode);
        properties.extra = extra;
        properties.expiration = expiration.map(Value::from).or(properties.expiration.take());
        Ok((to.address(&queue, table, message), span))
    }

    /// How the body of a message is written: as the options `serializer` and
    /// `compression` of `apply_async` say, else as the route or the settings do.
    pub(crate) fn format(&self, options: &Options, route: &Route) -> Result<Format, Error> {
        let settings = self.settings();
        let serializer = option::<Serializer>(&options.extra, "serializer")?;
        let compression = option::<Compression>(&options.extra, "compression")?;
        Ok(Format {
            serializer: serializer
                .or(route.serializer)
                .unwrap_or(settings.task_serializer),
            compression: compression
                .or(route.compression)
                .or(settings.task_compression),
        })
    }

    /// Writes what chords count by, and then publishes. A header's task may
    /// end before the next is published, so the sizes come first.
    pub(crate) async fn submit(&self, sending: &Sending) -> Result<(), Error> {
        self.announce(sending).await?;
        self.publish_all(sending).await
    }

    /// Writes what chords count by: once, and before anything is published. A
    /// size that is written again has the chord begin anew.
    pub(crate) async fn announce(&self, sending: &Sending) -> Result<(), Error> {
        for (group_id, size) in &sending.chord_sizes {
            self.chords()?.set_chord_size(group_id, *size).await?;
        }
        for (group_id, tuple) in &sending.groups {
            self.groups()?.save_group(group_id, tuple).await?;
        }
        Ok(())
    }

    /// Publishes what has been announced.
    pub(crate) async fn publish_all(&self, sending: &Sending) -> Result<(), Error> {
        self.publish(&sending.messages).await
    }

    /// Publishes under `task_publish_retry_policy`.
    pub(crate) async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        (|| self.broker().publish(messages))
            .retry(self.settings().publish_pauses())
            .when(Error::passes)
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
        let events = sent(messages, self.origin(), self.clock(), exchange);
        if let Err(error) = self.broker().broadcast(&events).await {
            tracing::debug!(%error, "cannot tell what has been sent");
        }
    }
}
