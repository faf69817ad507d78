//! What stands for spans where none can be exported.

use super::TraceContext;
use crate::failure::Failure;
use crate::message::Headers;
use crate::message::Request;

/// Nothing: the feature `otlp` is off.
#[cfg(feature = "log")]
pub fn layer<S>() -> Option<impl tracing_subscriber::layer::Layer<S>>
where
    S: tracing::Subscriber,
{
    None::<tracing_subscriber::layer::Identity>
}

/// Nothing: the feature `otlp` is off.
pub async fn flush() {}

/// No span of sending.
#[derive(Clone, Debug)]
pub(crate) enum SendSpan {}

impl SendSpan {
    pub fn begin(_headers: &mut Headers, _queue: &str) -> Option<Self> {
        None
    }
}

/// No span of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunSpan;

impl RunSpan {
    pub fn begin(&self, _request: &Request) {}

    pub fn is_recording(&self) -> bool {
        false
    }

    pub fn trace_context(&self) -> Option<TraceContext> {
        None
    }

    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        future.await
    }

    pub fn scope_blocking<R>(&self, run: impl FnOnce() -> R) -> R {
        run()
    }

    pub fn end(
        &self,
        _request: &Request,
        _state: &'static str,
        _reason: Option<String>,
        _failure: Option<&Failure>,
    ) {
    }
}
