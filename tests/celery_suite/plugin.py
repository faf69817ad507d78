"""Lets Celery's integration tests run against a worker in another process.

Each process of pytest has a Redis and a worker of its own, so that tests can
run in parallel. See `excluded.txt` for what no outside worker can pass.
"""

import os
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import celery.contrib.pytest
import pytest

from celery.contrib.testing.manager import Manager
from celery.result import AsyncResult
from celery.worker import state

from celery_suite import watch
from support.failure_logs import pytest_runtest_makereport  # noqa: F401
from support.redis_server import RedisServer

EXCLUDED = Path(__file__).parent / "excluded.txt"

#: Tests that take minutes even with Celery's worker, since they wait for what
#: must not happen. They start first and keep the suite's own limit.
SLOW = (
    "test_disabling_flag_allow_error_cb_on_chord_header",
    "test_flag_allow_error_cb_on_chord_header_on_upgraded_chord",
    "test_enabling_flag_allow_error_cb_on_chord_header",
)


def excluded():
    """Node ids, or beginnings of them, and why each is left out."""
    lines = (line.split(None, 1) for line in EXCLUDED.read_text().splitlines())
    return {line[0]: line[1] for line in lines if line and not line[0].startswith("#")}


def pytest_addoption(parser):
    parser.addoption("--python-worker", action="store_true", help="run Celery's own worker")
    parser.addoption("--longest", type=int, default=60, help="seconds before a test has failed")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """Before the suite's conftest.py is imported, since that reads the addresses."""
    config = early_config
    config.suite_directory = tempfile.TemporaryDirectory(prefix="celery-suite-")
    config.suite_redis = server = RedisServer(Path(config.suite_directory.name))
    os.environ.update(
        TEST_BROKER=server.url,
        TEST_BACKEND=server.url,
        REDIS_HOST="127.0.0.1",
        REDIS_PORT=str(server.port),
    )


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config):
    # A result that is collected later would look for this Redis for a minute.
    AsyncResult.__del__ = lambda result: None
    config.suite_redis.stop()
    config.suite_directory.cleanup()


def pytest_ignore_collect(collection_path, config):
    """Whole files are not even imported: they may need what is not installed."""
    if collection_path.suffix == ".py":
        name = str(collection_path.relative_to(config.rootpath))
        return name in excluded() or None


def pytest_collection_modifyitems(config, items):
    names = tuple(excluded())
    left_out = [item for item in items if item.nodeid.startswith(names)]
    config.hook.pytest_deselected(items=left_out)
    chosen = [item for item in items if item not in left_out]
    items[:] = sorted(chosen, key=lambda item: item.name not in SLOW)
    for item in items:
        if item.name not in SLOW:
            limit(item, config.getoption("longest"))


def limit(item, longest):
    """The suite lets most tests hang for five minutes when they fail."""
    mark = item.get_closest_marker("timeout")
    given = (mark.args or (mark.kwargs["timeout"],))[0] if mark else longest
    item.add_marker(pytest.mark.timeout(min(given, longest)), append=False)


class Stamps(dict):
    """A worker forgets what is revoked by stamps when it ends, not before."""

    def __init__(self, worker):
        self.worker = worker

    def clear(self):
        self.worker.restart()


def wait_until_idle(manager, original=Manager.wait_until_idle):
    """Does not wait a second for the answers of other workers: there are none."""
    control = manager.app.control
    control.inspect = partial(control.inspect, limit=1)
    try:
        original(manager)
    finally:
        del control.inspect


@pytest.fixture(scope="session")
def celery_session_worker(request, celery_session_app, tmp_path_factory):
    # It imports the suite's tasks, which want to know where Redis is.
    from celery_suite.session_worker import SessionWorker, our_worker, python_worker

    config = request.config
    kind = python_worker if config.getoption("python_worker") else our_worker
    directory = tmp_path_factory.mktemp("worker")
    worker = SessionWorker(kind, config.suite_redis, celery_session_app, directory)
    config.suite_worker = worker
    with pytest.MonkeyPatch.context() as patch:
        watch.results_wait_for(worker.watch, patch)
        patch.setattr(Manager, "wait_until_idle", wait_until_idle)
        patch.setattr(state, "revoked_stamps", Stamps(worker))
        yield worker
    worker.stop()


# The suite's conftest.py imports the fixture by this name.
celery.contrib.pytest.celery_session_worker = celery_session_worker


@pytest.fixture(autouse=True)
def pid_of_the_worker(request, monkeypatch):
    """`test_inspect` takes its own pid for the worker's."""
    if request.module.__name__.endswith("test_inspect"):
        worker = request.getfixturevalue("celery_session_worker")
        monkeypatch.setattr(request.module, "os", SimpleNamespace(getpid=lambda: worker.pid))


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node):
    """A test that failed may leave tasks behind: the next one starts afresh."""
    worker = getattr(node.config, "suite_worker", None)
    if worker and isinstance(node, pytest.Item):
        worker.reset()
