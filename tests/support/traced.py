"""The suite's Python application as OpenTelemetry traces it: the workers of
`celery -A support.traced`, and a producer that sends the canvas that it reads.

Only processes of their own import this: instrumented once, Celery stays so."""

import json
import sys

from celery.signals import worker_process_init
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from .app import app


@worker_process_init.connect(weak=False)
def instrument(**_):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()


def produce(canvas):
    """Sends a canvas within a span; the trace's id."""
    instrument()
    # The span of sending a task that the process does not know would not end.
    app.loader.import_default_modules()
    app.set_default()
    with trace.get_tracer("producer").start_as_current_span("request") as span:
        app.signature(canvas).apply_async()
    return f"{span.get_span_context().trace_id:032x}"


if __name__ == "__main__":
    print(produce(json.load(sys.stdin)))
