"""What no repetition can mend is told to who waits, and nothing is tried for ever."""

import signal
import time

import pytest

from conftest import client
from support.lane import Lane
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import rust_worker

LIMIT = 1 << 20
LATE = {"task_acks_late": True}


@pytest.fixture
def own(tmp_path):
    """A lane of a Redis for one test alone."""
    server = RedisServer(tmp_path)
    yield Lane(client(server), server, "own")
    server.stop()


@pytest.fixture
def narrow(own):
    """The same, where no value is larger than 1 MiB."""
    own.redis.client.config_set("proto-max-bulk-len", LIMIT)
    return own


def state(lane, result):
    return (lane.meta(result) or {}).get("status")


def failure(lane, result, seconds=30):
    """What is stored of a task that fails, as it lies there."""
    until(lambda: state(lane, result) == "FAILURE", "it has failed", seconds)
    return lane.meta(result)["result"]


def large(lane, times=8, **options):
    """A task whose result is `times` 300 kB."""
    return lane.apply("mul", ["x" * 300_000, times], **options)


def ends(worker, seconds=10):
    """Tells it to end; how it does."""
    worker.signal(signal.SIGTERM)
    until(lambda: not worker.running, "the worker ends", seconds)
    return worker.child.returncode


@pytest.mark.parametrize("settings", [{}, LATE], ids=["early", "late"])
def test_a_result_that_redis_does_not_take_fails_the_task(start, narrow, settings):
    worker = start(rust_worker, narrow, concurrency=1, settings=settings)
    result = large(narrow)
    others = [narrow.send("add", n, 1) for n in range(20)]
    assert [other.get(timeout=15) for other in others] == list(range(1, 21))
    assert failure(narrow, result)["exc_type"] == "ConnectionError"
    until(lambda: narrow.held() == 0, "it is settled")
    assert ends(worker) == 0


def test_results_that_go_together_do_not_fail_together(start, narrow):
    start(rust_worker, narrow, concurrency=16)
    mixed = [large(narrow) if n % 5 == 0 else narrow.send("add", n, 0) for n in range(50)]
    for n, result in enumerate(mixed):
        if n % 5:
            assert result.get(timeout=30) == n
        else:
            assert failure(narrow, result)["exc_type"] == "ConnectionError"


def test_a_chord_knows_of_a_member_whose_result_is_refused(start, narrow):
    from celery import chord

    start(rust_worker, narrow)
    task = lambda name, *args: narrow.app.signature(
        f"t.integration.tasks.{name}", args, queue=narrow.queue)
    for ignored in (False, True):
        member = task("mul", "x" * 300_000, 8).set(ignore_result=ignored)
        body = chord([task("add", 1, 1), member], task("tsum"))()
        assert failure(narrow, body)["exc_type"] == "ChordError"


def test_what_cannot_be_sent_fails_the_task(start, narrow):
    """The next step of a chain would be larger than a message may be."""
    start(rust_worker, narrow)
    task = lambda name, *args: narrow.app.signature(
        f"t.integration.tasks.{name}", args, queue=narrow.queue)
    last = (task("mul", "x" * 300_000, 8) | task("identity")).apply_async()
    assert failure(narrow, last.parent)["exc_type"] == "ConnectionError"
    assert failure(narrow, last)["exc_type"] == "ConnectionError"


def test_results_that_are_not_permitted_end_in_the_dead_letters(start, own):
    """Not even the failure can be stored."""
    start(rust_worker, own, settings=LATE)
    acl = lambda *rules: own.redis.client.execute_command("ACL", "SETUSER", "default", *rules)
    others = ["own*", "ready*", "unacked*", "_kombu*", "celeriac.*", "record-*"]
    acl("resetkeys", "%R~celery-task-meta-*", *(f"~{pattern}" for pattern in others))
    result = own.send("add", 1, 2)
    letters = lambda: own.redis.client.lrange("celeriac.dead_letter", 0, -1)
    until(lambda: letters(), "it is kept", 30)
    assert result.id in letters()[0]
    acl("allkeys")
    until(lambda: own.held() == 0, "it is settled")
    assert own.call("add", 1, 2) == 3


def gone(lane, worker):
    lane.redis.kill()
    began = time.monotonic()
    code = ends(worker, 15)
    assert code in (0, 1)
    assert time.monotonic() - began < 11
    return worker.log.read_text()


def test_a_warm_shutdown_does_not_wait_for_a_broker_that_is_gone(start, own):
    worker = start(rust_worker, own, settings=LATE)
    for n in range(3):
        own.apply("identity", [n], countdown=600)
    until(lambda: own.held() == 3, "they are held")
    assert "cannot give back 3 message(s)" in gone(own, worker)


def test_nor_does_a_result_that_cannot_be_stored(start, own):
    worker = start(rust_worker, own, concurrency=1)
    results = [own.send("sleeping", 2) for _ in range(4)]
    until(lambda: state(own, results[0]) == "STARTED", "it runs")
    own.redis.kill()
    worker.wait_for_log("trying again", 20)
    gone(own, worker)


def test_nor_for_one_that_is_silent(start, own):
    worker = start(rust_worker, own, settings=LATE)
    own.apply("identity", [1], countdown=600)
    until(lambda: own.held() == 1, "it is held")
    own.redis.process.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert ends(worker, 15) in (0, 1)
        assert time.monotonic() - began < 11
    finally:
        own.redis.process.signal(signal.SIGCONT)


def test_a_warm_shutdown_waits_for_a_broker_that_is_back(start, own):
    """Running tasks are waited for without bound, and by then it answers."""
    worker = start(rust_worker, own, settings=LATE)
    result = own.send("delayed_sum", [1, 2], 4)
    until(lambda: state(own, result) == "STARTED", "it runs")
    own.redis.process.signal(signal.SIGSTOP)
    worker.signal(signal.SIGTERM)
    time.sleep(1.5)
    own.redis.process.signal(signal.SIGCONT)
    assert worker.wait() == 0
    assert own.meta(result)["result"] == 3


def test_results_are_retried_as_often_as_the_settings_say(start, own, tmp_path):
    """Their server is away; the broker is there."""
    (tmp_path / "results").mkdir()
    backend = RedisServer(tmp_path / "results")
    try:
        settings = {**LATE, "result_backend_max_retries": 2,
                    "result_backend_base_sleep_between_retries_ms": 10,
                    "task_track_started": False}
        worker = rust_worker(own.redis, own.redis, tmp_path, "bounded", [own.queue],
                             settings=settings, backend=backend)
        until(lambda: worker.log.exists() and "ready." in worker.log.read_text(), "it is ready")
        backend.kill()
        own.send("add", 1, 2)
        key = "celeriac.dead_letter"
        until(lambda: own.redis.client.llen(key) == 1, "it is given up and kept", 30)
        worker.stop()
    finally:
        backend.stop()
