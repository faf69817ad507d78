//! Where spans go: an OTLP exporter, as OpenTelemetry's environment variables
//! describe it.

use std::sync::{LazyLock, OnceLock};

use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, InstrumentationScope, global};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::TraceContext;

/// Set once, when a subscriber is given its [`layer`].
static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// What makes spans, if they are exported.
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    EXPORT.get().map(|export| &export.tracer)
}

/// Starts the export, if the environment asks for it, and makes the
/// application's own `tracing` spans part of it, from level `INFO` on: within a
/// task they are children of its run. For programs with a subscriber of their own;
/// [`log::init`](crate::log::init) has it.
pub fn layer<S>() -> Option<impl Layer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if EXPORT.get().is_none() && wanted(|name| std::env::var(name).ok()) {
        match provider() {
            Ok(provider) => start(provider),
            // There is no subscriber yet that could log it.
            Err(error) => eprintln!("cannot export traces: {error}"),
        }
    }
    tracer().map(layer_of)
}

pub(super) fn layer_of<S>(tracer: &SdkTracer) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_opentelemetry::layer().with_tracer(tracer.clone());
    // Log lines are no part of a trace, as they are not in Python.
    let shown = |metadata: &Metadata<'_>| metadata.is_span() && *metadata.level() <= Level::INFO;
    layer.with_filter(filter_fn(shown))
}

/// Whether these variables ask for an export.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let says =
        |name, wanted: &str| variable(name).is_some_and(|it| it.eq_ignore_ascii_case(wanted));
    let set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let endpoint = set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    endpoint && !says("OTEL_SDK_DISABLED", "true") && !says("OTEL_TRACES_EXPORTER", "none")
}

/// Address, headers, sampler and resource are read from the environment.
fn provider() -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
    Ok(provider.build())
}

fn start(provider: SdkTracerProvider) {
    // What the application makes of its own with OpenTelemetry's API.
    global::set_tracer_provider(provider.clone());
    let tracer = tracer_of(&provider);
    // A second one changes nothing.
    let _ = EXPORT.set(Export { provider, tracer });
}

pub(super) fn tracer_of(provider: &SdkTracerProvider) -> SdkTracer {
    let scope = InstrumentationScope::builder("celeriac")
        .with_version(env!("CARGO_PKG_VERSION"))
        // That of opentelemetry-instrumentation-celery.
        .with_schema_url("https://opentelemetry.io/schemas/1.11.0")
        .build();
    provider.tracer_with_scope(scope)
}

/// Sends what is not exported yet. Worker and beat do so when they end; other
/// programs have to, or their last spans are lost.
pub async fn flush() {
    let Some(export) = EXPORT.get() else { return };
    let flushed = tokio::task::spawn_blocking(|| export.provider.force_flush()).await;
    match flushed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot export the last spans"),
        Err(error) => tracing::warn!(%error, "cannot export the last spans"),
    }
}

static PROPAGATOR: LazyLock<TextMapCompositePropagator> = LazyLock::new(|| {
    TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ])
});

/// The span, and its baggage, that `headers` name.
pub(super) fn extract(headers: &TraceContext) -> Context {
    PROPAGATOR.extract_with_context(&Context::new(), headers)
}

/// The headers that name the span of `context`.
pub(super) fn inject(context: &Context) -> TraceContext {
    let mut headers = TraceContext::default();
    PROPAGATOR.inject_context(context, &mut headers);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_by(variables: &[(&str, &str)]) -> bool {
        wanted(|name| {
            let mut found = variables.iter().filter(|(set, _)| *set == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_unless_asked_for() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(wanted_by(&[endpoint]));
        let of_traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        assert!(wanted_by(&[(of_traces, "http://collector:4318/v1/traces")]));
        assert!(!wanted_by(&[]));
        assert!(!wanted_by(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(!wanted_by(&[endpoint, ("OTEL_SDK_DISABLED", "True")]));
        assert!(!wanted_by(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
