"""Traces that go on across languages, from a producer that
`opentelemetry-instrumentation-celery` traces.

The worker needs the feature `otlp`, which a build of the whole workspace has:
`cargo build -p celeriac --features otlp --example interop_worker`."""

import json
import os
import subprocess
import sys

import pytest
from celery import chain, chord, uuid

from conftest import serving
from support.collector import collecting
from support.lane import full_name
from support.waiting import until
from support.workers import TESTS, python_worker, rust_worker

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector():
    with collecting() as collector:
        yield collector


def exporting(environment, collector, name, delay_ms=50):
    """Has workers that are started from now on export their spans."""
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    environment.setenv("OTEL_SERVICE_NAME", name)
    environment.setenv("OTEL_BSP_SCHEDULE_DELAY", str(delay_ms))


def at_home(queues):
    """What a task sends without naming a queue comes back."""
    return {"task_default_queue": queues[0]}


def traced_rust_worker(redis, effects, directory, node, queues):
    return rust_worker(redis, effects, directory, node, queues, settings=at_home(queues))


def traced_prefork_worker(redis, effects, directory, node, queues):
    settings = {**at_home(queues), "worker_pool": "prefork"}
    return rust_worker(redis, effects, directory, node, queues, 2, settings)


def traced_python_worker(redis, effects, directory, node, queues):
    return python_worker(redis, effects, directory, node, queues, settings=at_home(queues),
                         app="support.traced")


def traced(kind, name, app, redis, collector, factory):
    environment = pytest.MonkeyPatch()
    exporting(environment, collector, name)
    try:
        with serving(kind, app, redis, factory.mktemp(name)) as lane:
            environment.undo()
            yield lane
    finally:
        environment.undo()


@pytest.fixture(scope="module")
def rust(app, redis, collector, tmp_path_factory):
    yield from traced(traced_rust_worker, "rust", app, redis, collector, tmp_path_factory)


@pytest.fixture(scope="module")
def python(app, redis, collector, tmp_path_factory):
    yield from traced(traced_python_worker, "python", app, redis, collector, tmp_path_factory)


@pytest.fixture(scope="module")
def prefork(app, redis, collector, tmp_path_factory):
    yield from traced(traced_prefork_worker, "rust", app, redis, collector, tmp_path_factory)


@pytest.fixture
def produce(redis, collector):
    """Sends a canvas from a process that is traced; the trace's id."""
    environment = {
        **os.environ, "PYTHONPATH": str(TESTS), "OTEL_SERVICE_NAME": "producer",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "CELERY_BROKER_URL": redis.url, "CELERY_RESULT_BACKEND": redis.url,
    }

    def produce(canvas):
        producer = subprocess.run(
            [sys.executable, "-m", "support.traced"], input=json.dumps(canvas), env=environment,
            cwd=TESTS, capture_output=True, text=True, timeout=30)
        assert producer.returncode == 0, producer.stderr
        return producer.stdout.strip()

    return produce


def call(lane, name, *args, immutable=False, **options):
    options.setdefault("queue", lane.queue)
    return lane.app.signature(full_name(name), args, immutable=immutable, **options)


def spans(*tasks):
    """The names of the spans of a request that runs these."""
    names = [full_name(task) for task in tasks]
    return ["request"] + [f"{action}/{name}" for name in names for action in ("apply_async", "run")]


def relay(lane):
    return call(lane, "interop.relay", full_name("add"), [1, 2], lane.queue)


def failing(lane):
    errback = call(lane, "errback_old_style")
    return call(lane, "raise_error").on_error(errback)


def told_how(lane):
    return call(lane, "add", 1, 2, countdown=0.1, expires=60, priority=3, time_limit=60,
                soft_time_limit=30, compression="gzip")


CANVASES = {
    "a task sends another": (relay, spans("interop.relay", "add")),
    "chain": (lambda lane: chain(call(lane, "add", 1, 2), call(lane, "add", 3)),
              spans("add", "add")),
    "chord": (lambda lane: chord([call(lane, "add", 1, 2)] * 2, call(lane, "tsum")),
              spans("add", "add", "tsum")),
    "callback": (lambda lane: call(lane, "add", 1, 2, link=call(lane, "identity")),
                 spans("add", "identity")),
    "failure": (failing, spans("raise_error", "errback_old_style")),
    "retry": (
        lambda lane: call(lane, "retry_once_priority"),
        spans("retry_once_priority", "retry_once_priority"),
    ),
    "retries are used up": (lambda lane: call(lane, "interop.give_up", "enough", 1),
                            spans("interop.give_up", "interop.give_up")),
    "replaced": (lambda lane: call(lane, "add_replaced", 1, 2), spans("add_replaced", "add")),
    "rejected": (lambda lane: call(lane, "reject_then_succeed"),
                 spans("reject_then_succeed") + spans("reject_then_succeed")[-1:]),
    "options": (told_how, spans("add")),
    "one limit": (lambda lane: call(lane, "add", 1, 2, time_limit=60), spans("add")),
}


@pytest.mark.parametrize("name", CANVASES)
def test_spans_are_those_of_python(python, rust, produce, collector, name):
    canvas, names = CANVASES[name]
    theirs, ours = (collector.tree(produce(canvas(lane)), names) for lane in (python, rust))
    assert ours.children[0].children[0].service == "rust"
    assert ours.comparable() == theirs.comparable()


@pytest.mark.parametrize("name", ["a task sends another", "chain", "retry"])
def test_spans_of_child_processes_are_no_others(rust, prefork, produce, collector, name):
    canvas, names = CANVASES[name]
    here, there = (collector.tree(produce(canvas(lane)), names) for lane in (rust, prefork))
    assert there.comparable() == here.comparable()


@pytest.mark.parametrize("first", ["python", "rust"])
def test_a_trace_crosses_languages_and_comes_back(python, rust, produce, collector, first):
    lanes = {"python": (python, rust), "rust": (rust, python)}[first]
    there, back = lanes
    canvas = chain(call(there, "add", 1, 2), call(back, "add", 3), call(there, "add", 4))
    line = collector.tree(produce(canvas), spans("add", "add", "add")).line()
    second = "rust" if first == "python" else "python"
    # Who has run a task sends the next.
    assert [node.service for node in line] == [
        "producer", "producer", first, first, second, second, first]


def test_a_task_of_rusty_celery_passes_its_trace_on(rust, produce, collector):
    canvas = call(rust, "rusty.send", 1, 2, rust.queue)
    line = collector.tree(produce(canvas), spans("rusty.send", "rusty.add")).line()
    assert line[-1].name == "run/rusty.add"


def test_a_worker_that_exports_nothing_passes_a_trace_on(
        lane, start, python, produce, collector):
    start(rust_worker, lane)
    canvas = chain(call(lane, "add", 1, 2), call(python, "add", 3))
    names = ["request", *spans("add")[1:]]
    line = collector.tree(produce(canvas), names).line()
    assert line[-1].name == "run/t.integration.tasks.add"
    assert line[-1].service == "python"


@pytest.fixture
def untraced(lane, start):
    start(rust_worker, lane)
    return lane


def passed_on(lane, **headers):
    """The headers of the task that follows one with these."""
    other = f"unserved-{uuid()[:8]}"
    follower = lane.app.signature(full_name("add"), [1], queue=other)
    lane.apply("add", [1, 2], headers=headers, chain=[follower])
    message = until(lambda: lane.redis.client.lindex(other, 0), "the next task is sent")
    sent = json.loads(message)["headers"]
    return {name: sent[name] for name in ("traceparent", "tracestate", "baggage") if name in sent}


def test_headers_of_a_trace_are_passed_on_as_they_came(untraced):
    trace = {"traceparent": PARENT, "tracestate": "vendor=1", "baggage": "user=7"}
    assert passed_on(untraced, **trace) == trace


@pytest.mark.parametrize("kind", ["untraced", "rust"])
def test_what_is_no_trace_is_passed_on_to_nobody(request, kind):
    lane = request.getfixturevalue(kind)
    sent = passed_on(lane, traceparent="no trace", tracestate="vendor=1")
    # A worker that exports begins a trace of its own.
    assert sent.keys() == (set() if kind == "untraced" else {"traceparent"})
    assert "no trace" not in sent.values()


def test_a_retry_leaves_behind_what_is_no_trace(untraced):
    headers = {"traceparent": "no trace", "tenant": "a"}
    received = untraced.apply("retry_once_headers", headers=headers).get(timeout=10)
    assert received == {"tenant": "a"}


def test_baggage_goes_on_with_a_trace(rust):
    sent = passed_on(rust, traceparent=PARENT, tracestate="vendor=1", baggage="user=7")
    assert sent["traceparent"].split("-")[1] == PARENT.split("-")[1]
    assert sent["traceparent"] != PARENT
    assert (sent["tracestate"], sent["baggage"]) == ("vendor=1", "user=7")


def test_a_trace_that_is_not_sampled_is_not_exported(rust, produce, collector):
    trace = "1" * 32
    sent = passed_on(rust, traceparent=f"00-{trace}-b7ad6b7169203331-00")
    assert sent["traceparent"].startswith(f"00-{trace}-")
    assert sent["traceparent"].endswith("-00")
    # What ended later has arrived.
    collector.tree(produce(call(rust, "add", 1, 2)), spans("add"))
    assert not collector.trace(trace)


def test_spans_are_exported_before_a_worker_ends(
        lane, start, monkeypatch, produce, collector):
    exporting(monkeypatch, collector, "rust", delay_ms=3_600_000)
    worker = start(rust_worker, lane)
    trace = produce(call(lane, "add", 1, 2))
    worker.wait_for_log("Task t.integration.tasks.add[")
    assert worker.stop() == 0
    assert collector.tree(trace, spans("add")).line()[-1].service == "rust"
