//! Tracing across languages: `traceparent` in message headers, as
//! `opentelemetry-instrumentation-celery` writes it, is passed on to whatever
//! a task sends.
//!
//! With the feature `otlp`, and if the environment says where spans go, each
//! send is a span `apply_async/<task>` and each run a span `run/<task>`, with
//! the kinds and attributes that Python's have; without, they cost nothing.
//!
//! | variable | what it says |
//! | --- | --- |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where to (OTLP over HTTP); nothing is exported if neither is set |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION` | how |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | who |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none` | nothing is exported |
//!
//! - `context`: the headers
//! - `export`: where spans go
//! - `span`: the spans, and `no_span`, which stands for them without the feature

mod context;
#[cfg(feature = "otlp")]
mod export;
#[cfg(not(feature = "otlp"))]
mod no_span;
#[cfg(feature = "otlp")]
mod span;

pub(crate) use context::TraceContext;
#[cfg(feature = "otlp")]
pub use export::{flush, layer};
#[cfg(not(feature = "otlp"))]
pub use no_span::flush;
#[cfg(all(feature = "log", not(feature = "otlp")))]
pub use no_span::layer;
#[cfg(not(feature = "otlp"))]
pub(crate) use no_span::{RunSpan, SendSpan};
#[cfg(feature = "otlp")]
pub(crate) use span::{RunSpan, SendSpan};
