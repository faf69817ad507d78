//! The spans of sending and running a task, with the names, kinds and
//! attributes that `opentelemetry-instrumentation-celery` gives them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::OnceLock;

use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use serde_json::{Number, json};

use super::TraceContext;
use super::export::{extract, inject, tracer};
use crate::failure::Failure;
use crate::message::Headers;
use crate::message::Request;
use crate::value::repr;

/// The span `apply_async/<task>` of a message that is being sent. It ends when
/// it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct SendSpan(
    // Never read: it is held.
    #[expect(dead_code)] Context,
);

impl SendSpan {
    /// Begins it, and has the message's headers name it; its parent is the
    /// current span, else the one that they name. `None` if nothing is exported.
    pub fn begin(headers: &mut Headers, queue: &str) -> Option<Self> {
        tracer().map(|tracer| Self::of(tracer, headers, queue))
    }

    fn of(tracer: &SdkTracer, headers: &mut Headers, queue: &str) -> Self {
        let current = Context::current();
        let parent = match current.has_active_span() {
            true => current,
            false => extract(&TraceContext::of(&headers.extra)),
        };
        let builder = tracer
            .span_builder(format!("apply_async/{}", headers.task))
            .with_kind(SpanKind::Producer)
            .with_attributes([
                KeyValue::new("celery.action", "apply_async"),
                KeyValue::new("messaging.message.id", headers.id.clone()),
                KeyValue::new("celery.task_name", headers.task.clone()),
                KeyValue::new("messaging.destination_kind", "queue"),
                KeyValue::new("messaging.destination", queue.to_owned()),
            ]);
        let span = tracer.build_with_context(builder, &parent);
        let context = parent.with_span(span);
        inject(&context).replace(&mut headers.extra);
        Self(context)
    }
}

/// The span `run/<task>` of a task's run. It ends when it is told to, or when
/// it is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunSpan(
    /// Empty before the run begins, and if nothing is exported.
    OnceLock<Context>,
);

impl RunSpan {
    /// Begins it, if anything is exported. Its parent is the span that the
    /// message names.
    pub fn begin(&self, request: &Request) {
        if let Some(tracer) = tracer() {
            self.begin_with(tracer, request);
        }
    }

    fn begin_with(&self, tracer: &SdkTracer, request: &Request) {
        let headers = request.headers();
        let parent = extract(&TraceContext::of(&headers.extra));
        let builder = tracer
            .span_builder(format!("run/{}", headers.task))
            .with_kind(SpanKind::Consumer);
        let span = tracer.build_with_context(builder, &parent);
        // A run begins only once.
        let _ = self.0.set(parent.with_span(span));
    }

    /// Whether anybody will see what is said of it.
    pub fn is_recording(&self) -> bool {
        let context = self.0.get();
        context.is_some_and(|context| context.span().is_recording())
    }

    /// What names it in the messages that its task sends; `None` if it has not
    /// begun.
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.0.get().map(inject)
    }

    /// Runs `future` with this as the current span.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|task| {
            let _current = self.0.get().cloned().map(Context::attach);
            future.as_mut().poll(task)
        })
        .await
    }

    /// Runs a function that blocks with this as the current span.
    pub fn scope_blocking<R>(&self, run: impl FnOnce() -> R) -> R {
        let _current = self.0.get().cloned().map(Context::attach);
        run()
    }

    /// Ends it in this `state`: with the `reason` of a retry, or the `failure`
    /// of a task that failed.
    pub fn end(
        &self,
        request: &Request,
        state: &'static str,
        reason: Option<String>,
        failure: Option<&Failure>,
    ) {
        let Some(context) = self.0.get() else { return };
        let span = context.span();
        if span.is_recording() {
            let reason = reason.map(|reason| KeyValue::new("celery.retry.reason", reason));
            span.set_attributes(reason);
            span.set_attribute(KeyValue::new("celery.state", state));
            span.set_attributes(attributes(request));
            if let Some(failure) = failure {
                span.add_event("exception", exception(failure));
                span.set_status(Status::error(failure.message()));
            }
        }
        span.end();
    }
}

/// What is told of a run.
fn attributes(request: &Request) -> Vec<KeyValue> {
    let headers = request.headers();
    let properties = &request.message.properties;
    let address = &request.message.delivery_info;
    let mut attributes = vec![
        KeyValue::new("celery.action", "run"),
        KeyValue::new("celery.task_name", headers.task.clone()),
        KeyValue::new("messaging.message.id", headers.id.clone()),
        KeyValue::new("celery.delivery_info", delivery_info(request)),
    ];
    let compression = headers.extra.get("compression").and_then(|it| it.as_str());
    let hostname = headers.origin.as_deref().filter(|it| !it.is_empty());
    let texts = [
        ("celery.compression", compression),
        ("celery.eta", headers.eta.as_deref()),
        ("celery.expires", headers.expires.as_deref()),
        // Who sent it, as Python has it.
        ("celery.hostname", hostname.or(Some(&request.hostname))),
        ("celery.reply_to", properties.reply_to.as_deref()),
        (
            "messaging.conversation_id",
            properties.correlation_id.as_deref(),
        ),
        ("messaging.destination", address.routing_key.as_deref()),
    ];
    let told = texts.iter().filter_map(|&(name, text)| Some((name, text?)));
    let told = told.filter(|(_, text)| !text.is_empty());
    attributes.extend(told.map(|(name, text)| KeyValue::new(name, text.to_owned())));
    if headers.retries > 0 {
        attributes.push(KeyValue::new("celery.retries", i64::from(headers.retries)));
    }
    attributes.extend(time_limit(&headers.timelimit));
    attributes
}

/// Where the message was sent, as Python prints it.
fn delivery_info(request: &Request) -> String {
    let message = &request.message;
    repr::value(&json!({
        "exchange": message.delivery_info.exchange,
        "routing_key": message.delivery_info.routing_key,
        "priority": message.properties.priority,
        "redelivered": message.redelivered(),
    }))
}

/// Both limits as numbers; texts if one of them is missing.
fn time_limit(limits: &(Option<Number>, Option<Number>)) -> Option<KeyValue> {
    let values: Array = match limits {
        (None, None) => return None,
        (Some(hard), Some(soft)) => match (hard.as_i64(), soft.as_i64()) {
            (Some(hard), Some(soft)) => vec![hard, soft].into(),
            _ => vec![hard.as_f64()?, soft.as_f64()?].into(),
        },
        (hard, soft) => {
            let text = |limit: &Option<Number>| limit.as_ref().map(Number::to_string);
            let texts =
                [hard, soft].map(|limit| StringValue::from(text(limit).unwrap_or_default()));
            texts.to_vec().into()
        }
    };
    Some(KeyValue::new("celery.timelimit", Value::Array(values)))
}

/// What is told of a failure.
fn exception(failure: &Failure) -> Vec<KeyValue> {
    vec![
        KeyValue::new("exception.type", failure.class()),
        KeyValue::new("exception.message", failure.message()),
        KeyValue::new("exception.stacktrace", failure.traceback()),
        KeyValue::new("exception.escaped", "False"),
    ]
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::sync::{Arc, Mutex, PoisonError};

    use opentelemetry::trace::SpanId;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
    use tracing::Instrument;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::message::{Body, Message};
    use crate::trace::export;

    /// Keeps what is exported.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(spans);
            Ok(())
        }
    }

    impl Kept {
        fn provider(&self) -> SdkTracerProvider {
            let provider = SdkTracerProvider::builder();
            provider.with_simple_exporter(self.clone()).build()
        }

        /// The only span of this name.
        fn named(&self, name: &str) -> Option<SpanData> {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut named = kept.iter().filter(|span| span.name == name);
            named.next().filter(|_| named.next().is_none()).cloned()
        }
    }

    fn headers(traceparent: Option<&str>) -> Headers {
        let parent = traceparent.map(|it| ("traceparent".to_owned(), it.into()));
        Headers {
            task: "tasks.add".to_owned(),
            id: "1".to_owned(),
            extra: parent.into_iter().collect(),
            ..Headers::default()
        }
    }

    #[test]
    fn what_is_sent_in_a_span_of_the_application_is_its_child() -> Result<(), &'static str> {
        let kept = Kept::default();
        let tracer = export::tracer_of(&kept.provider());
        let mut headers = headers(None);
        let subscriber = tracing_subscriber::registry().with(export::layer_of(&tracer));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("request").in_scope(|| {
                tracing::info!("no part of the trace");
                drop(SendSpan::of(&tracer, &mut headers, "celery"));
            });
        });
        let request = kept.named("request").ok_or("no request")?;
        let sent = kept.named("apply_async/tasks.add").ok_or("not sent")?;
        assert_eq!(sent.span_kind, SpanKind::Producer);
        assert_eq!(sent.parent_span_id, request.span_context.span_id());
        assert_eq!(request.parent_span_id, SpanId::INVALID);
        assert!(request.events.is_empty());
        let (trace, span) = (sent.span_context.trace_id(), sent.span_context.span_id());
        let named = format!("00-{trace}-{span}-01");
        assert_eq!(headers.extra.get("traceparent"), Some(&named.into()));
        Ok(())
    }

    #[tokio::test]
    async fn a_span_of_the_application_is_a_child_of_its_run() -> Result<(), Box<dyn Error>> {
        let kept = Kept::default();
        let tracer = export::tracer_of(&kept.provider());
        let headers = headers(Some(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ));
        let message = Message::new(headers, &Body::default(), "celery", 0)?;
        let accept = ["json".to_owned()];
        let request = Request::new(message, &accept, "celery".into(), "w@h".into())?;
        let subscriber = tracing_subscriber::registry().with(export::layer_of(&tracer));
        let _default = tracing::subscriber::set_default(subscriber);
        let span = RunSpan::default();
        span.begin_with(&tracer, &request);
        let work = async {
            tokio::task::yield_now().await;
            let span = tracing::info_span!("work");
            tokio::task::yield_now().instrument(span).await;
        };
        span.scope(work).await;
        span.end(&request, "SUCCESS", None, None);
        let run = kept.named("run/tasks.add").ok_or("not run")?;
        assert_eq!(run.parent_span_id.to_string(), "b7ad6b7169203331");
        let work = kept.named("work").ok_or("no work")?;
        assert_eq!(work.parent_span_id, run.span_context.span_id());
        Ok(())
    }
}
