"""Lets Celery's integration tests run against a worker in another process.

Each process of pytest has a Redis and a worker of its own, so that tests can
run in parallel. See `excluded.txt` for what no outside worker can pass.
"""

import gc
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

#: Tests that take longer than the others even with Celery's worker, and the
#: seconds they get. Most wait for what must not happen. They start early.
SLOW = {
    "test_disabling_flag_allow_error_cb_on_chord_header": 300,
    "test_flag_allow_error_cb_on_chord_header_on_upgraded_chord": 300,
    "test_enabling_flag_allow_error_cb_on_chord_header": 300,
    "test_error_propagates_from_chord": 120,
    # The suite's 20 s are too few even for the embedded worker.
    "test_revoked_by_headers_complex_canvas": 120,
}


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    names = excluded()
    if not any("::" in arg for arg in config.args):
        check(names, items, config.rootpath)
    left_out = [item for item in items if item.nodeid.startswith(tuple(names))]
    config.hook.pytest_deselected(items=left_out)
    chosen = [item for item in items if item not in left_out]
    items[:] = dealt(sorted(chosen, key=turn), getattr(config, "workerinput", {}))
    for item in items:
        item.add_marker(pytest.mark.timeout(limit(item)), append=False)
        if item.get_closest_marker("flaky"):
            # Celery's maintainers give these tests five more attempts.
            item.add_marker(pytest.mark.flaky(reruns=1), append=False)


def turn(item):
    """Few, quick tests go first: they want nobody else's subscriptions in Redis."""
    if "test_redis_backend" in item.nodeid:
        return 0
    return 1 if item.name in SLOW else 2


def dealt(items, workerinput):
    """xdist gives each process a part of the list: the slow ones to different ones."""
    processes = workerinput.get("workercount", 1)
    return [item for process in range(processes) for item in items[process::processes]]


def check(names, items, root):
    """Nothing is excluded that is not there."""
    files = {item.nodeid.partition("::")[0] for item in items}
    for name in names:
        file, _, test = name.partition("::")
        found = any(item.nodeid.startswith(name) for item in items)
        if not (root / file).exists() or (test and file in files and not found):
            raise pytest.UsageError(f"{EXCLUDED.name}: there is no {name}")


def limit(item):
    """Seconds. The suite lets most tests hang for five minutes when they fail."""
    if item.name in SLOW:
        return SLOW[item.name]
    longest = item.config.getoption("longest")
    mark = item.get_closest_marker("timeout")
    return min(longest, *mark.args, *mark.kwargs.values()) if mark else longest


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
        watch.subscriptions_come_first(patch)
        watch.parents_errors_come_first(patch)
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


@pytest.fixture(autouse=True)
def others_have_unsubscribed(request):
    """Some tests compare Redis's subscriptions before and after; results of
    earlier tests end theirs when they are collected, which may be in between.
    """
    if "redis" in request.node.nodeid:
        gc.collect()


@pytest.fixture(autouse=True)
def worker_is_there(request):
    worker = getattr(request.config, "suite_worker", None)
    if worker:
        worker.ensure_running()


# What a failed test leaves behind must not trouble the next one. It ends
# before its fixtures do, for these wait until the worker is idle.


def pytest_exception_interact(node):
    worker = getattr(node.config, "suite_worker", None)
    if worker and isinstance(node, pytest.Item):
        worker.failed = True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    worker = getattr(item.config, "suite_worker", None)
    if worker and worker.failed:
        worker.abandon()
