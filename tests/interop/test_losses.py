"""Workers and Redis die at bad moments; nothing is lost."""

import time
from collections import Counter

import pytest

from conftest import client
from support.lane import Lane
from support.relay import Relay
from support.waiting import until
from support.workers import python_worker, rust_worker

LATE = {"task_acks_late": True, "broker_transport_options": {"worker_lease": 2}}


def record_all(lane, count, pause):
    key = f"done-{lane.queue}"
    for n in range(count):
        lane.apply("interop.record", [n, key], {"pause": pause}, ignore_result=True)
    return key


def done(redis, key):
    return Counter(map(int, redis.client.lrange(key, 0, -1)))


def settled(lane):
    """Nothing waits and nothing is held."""
    return lane.waiting() == 0 and lane.held() == 0


def test_killing_a_worker_loses_none_of_its_late_tasks(start, lane, redis):
    first = start(rust_worker, lane, concurrency=8, settings=LATE)
    key = record_all(lane, 500, pause=0.02)
    until(lambda: redis.client.llen(key) >= 100, "100 tasks are done")
    first.kill()
    assert lane.held() > 0, "killed too late to prove anything"
    began = time.monotonic()
    start(rust_worker, lane, concurrency=8, settings=LATE)
    until(lambda: settled(lane), "all are settled", 30)
    assert set(done(redis, key)) == set(range(500))
    # Only what ran when it was killed may have run twice.
    assert redis.client.llen(key) <= 500 + 8
    assert time.monotonic() - began < 15


@pytest.fixture
def durable(durable_redis):
    """A lane whose Redis may be killed. What its tasks do is seen elsewhere."""
    return Lane(client(durable_redis), durable_redis, "durable")


def test_a_python_worker_takes_over_from_a_killed_rust_worker(start, durable, redis):
    visibility = 1
    settings = {
        "task_acks_late": True,
        "broker_transport_options": {"visibility_timeout": visibility},
    }
    rust = start(rust_worker, durable, concurrency=2, settings=settings)
    key = record_all(durable, 10, pause=0.3)
    until(lambda: redis.client.llen(key) >= 2, "some are done")
    rust.kill()
    assert durable.held() > 0
    # kombu looks once when it starts, and then every 100 s.
    until(lambda: durable.since_delivery() > visibility, "what it held may be taken")
    start(python_worker, durable, concurrency=2, settings=settings)
    until(lambda: set(done(redis, key)) == set(range(10)), "Python has done the rest")


def test_killing_redis_loses_nothing(start, durable, redis):
    broker = durable.redis
    worker = start(rust_worker, durable, concurrency=4, settings=LATE)
    key = record_all(durable, 300, pause=0.02)
    until(lambda: redis.client.llen(key) >= 50, "50 tasks are done")
    broker.kill()
    broker.start()
    until(lambda: set(done(redis, key)) == set(range(300)), "all are done", 30)
    until(lambda: settled(durable), "all are settled")
    assert worker.running
    assert Lane(client(broker), broker, durable.queue).call("identity", "on") == "on"


def test_five_seconds_without_redis(start, durable, report):
    broker = durable.redis
    worker = start(rust_worker, durable, concurrency=2)
    # Ends during the outage; its result has to wait for the end of that.
    over = durable.apply("delayed_sum", [[1, 2]], {"pause_time": 1})
    until(lambda: (durable.meta(over) or {}).get("status") == "STARTED", "it runs")
    broker.stop()
    time.sleep(5)
    assert worker.running
    broker.start()
    began = time.monotonic()
    again = Lane(client(broker), broker, durable.queue)
    assert again.call("identity", "back") == "back"
    report("back after an outage of 5 s", f"{time.monotonic() - began:.2f} s")
    until(lambda: (again.meta(over) or {}).get("status") == "SUCCESS", "its result is stored")


def test_connections_that_fall_silent_are_replaced(start, lane, redis):
    """Nothing says that they are lost: no answer, no end."""
    relay = Relay(redis.port)
    worker = start(rust_worker, Lane(lane.app, relay, lane.queue), concurrency=4, settings=LATE)
    key = record_all(lane, 300, pause=0.02)
    until(lambda: redis.client.llen(key) >= 50, "50 tasks are done")
    relay.fall_silent()
    until(lambda: set(done(redis, key)) == set(range(300)), "all are done", 60)
    until(lambda: settled(lane), "all are settled", 30)
    answers = lane.app.control.ping(destination=[f"{worker.name}@test"], timeout=10, limit=1)
    assert answers == [{f"{worker.name}@test": {"ok": "pong"}}]
    relay.close()


def test_a_task_that_never_waits_does_not_make_the_worker_look_dead(start, lane, monkeypatch):
    """The worker renews its lease and answers while it keeps all of the runtime."""
    monkeypatch.setenv("TOKIO_WORKER_THREADS", "1")
    settings = {"task_acks_late": True, "broker_transport_options": {"worker_lease": 1}}
    worker = start(rust_worker, lane, settings=settings)
    hog = lane.apply("native.hog", [6])
    worker.wait_for_log("hog[")
    # One that takes over what a dead worker held.
    other = start(rust_worker, lane, settings=settings)
    node = f"{worker.name}@test"
    ping = lane.app.control.ping(destination=[node], timeout=3, limit=1)
    assert ping == [{node: {"ok": "pong"}}]
    assert not hog.ready()
    hog.get(timeout=30)
    assert "hog[" not in other.log.read_text()
