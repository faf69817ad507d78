"""Servers, workers and clients, each started once and ended by its own pid."""

from contextlib import contextmanager

import pytest
from celery import Celery, uuid
from celery.result import AsyncResult

from support.failure_logs import pytest_runtest_makereport  # noqa: F401
from support.fleet import Fleet
from support.lane import Lane
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import python_worker, rust_worker

import support.suite  # noqa: F401 - so that exceptions find their class

# A result that is collected unsubscribes. By then its Redis may be gone, and a
# client of Celery 5.3 would wait for it without end.
AsyncResult.__del__ = lambda result: None


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    """The Redis of all tests that do not harm it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def durable_redis(tmp_path):
    """A Redis for one test alone, which loses nothing when it is killed."""
    server = RedisServer(tmp_path, durable=True)
    yield server
    server.stop()


def client(redis):
    app = Celery("client", broker=redis.url, backend=redis.url, set_as_current=False)
    app.conf.result_extended = True
    return app


@pytest.fixture(scope="session")
def app(redis):
    """A Python client."""
    return client(redis)


def answers(worker, lane):
    """Waits until the worker runs a task; fails at once if it has ended."""
    result = lane.send("identity", "up")

    def answered():
        assert worker.running, f"{worker.name} ended with {worker.child.returncode}"
        return result.ready()

    until(answered, f"{worker.name} answers", 20)


@contextmanager
def serving(kind, app, redis, directory):
    """A lane and the worker that serves it."""
    lane = Lane(app, redis, f"lane-{uuid()[:8]}")
    worker = kind(redis, redis, directory, kind.__name__, [lane.queue])
    try:
        answers(worker, lane)
        yield lane
    finally:
        worker.stop()


@pytest.fixture(scope="session")
def rust(app, redis, tmp_path_factory):
    """The lane that a Rust worker serves."""
    with serving(rust_worker, app, redis, tmp_path_factory.mktemp("rust")) as lane:
        yield lane


@pytest.fixture(scope="session")
def python(app, redis, tmp_path_factory):
    """The lane that a Python worker serves."""
    with serving(python_worker, app, redis, tmp_path_factory.mktemp("python")) as lane:
        yield lane


@pytest.fixture(scope="session")
def fleet(tmp_path_factory):
    """A Python worker, two Rust workers and Flower, with a Redis of their own."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        yield fleet.ready()
    finally:
        fleet.stop()


@pytest.fixture
def lane(app, redis):
    """A lane that nobody serves yet."""
    return Lane(app, redis, f"lane-{uuid()[:8]}")


@pytest.fixture
def start(redis, tmp_path):
    """Starts workers that end with the test: `start(rust_worker, lane, …)`."""
    workers = []

    def start(kind, lane, **options):
        node = f"{kind.__name__}{len(workers)}"
        # It answers on a queue of its own, so that no other worker does in its place.
        own = Lane(lane.app, lane.redis, f"ready-{uuid()[:8]}")
        worker = kind(lane.redis, redis, tmp_path, node, [lane.queue, own.queue], **options)
        workers.append(worker)
        answers(worker, own)
        return worker

    yield start
    for worker in workers:
        worker.stop()


figures = {}


@pytest.fixture
def report():
    """Notes a figure for the summary: `report("wake-up", "3 ms")`."""
    return figures.__setitem__


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # One of several processes.
        session.config.workeroutput["figures"] = figures


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    figures.update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter):
    if figures:
        terminalreporter.section("figures")
    for name, value in figures.items():
        terminalreporter.write_line(f"{name}: {value}")
