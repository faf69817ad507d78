"""Python and Rust workers know of each other: mingle, gossip and elections."""

import re
import signal
import time

import pytest
import redis as redis_client
from celery import uuid

from conftest import client
from support.lane import Lane
from support.waiting import until
from support.workers import python_worker, rust_worker, until_listening


@pytest.fixture
def village(durable_redis, redis, tmp_path):
    """Starts workers on a Redis where nobody else is."""
    workers = []
    app = client(durable_redis)

    def settle(kind, name):
        worker = kind(durable_redis, redis, tmp_path, name, ["village"])
        workers.append(worker)
        until_listening(app, f"{name}@test")
        return worker

    settle.app = app
    settle.lane = Lane(app, durable_redis, "village")
    yield settle
    for worker in workers:
        worker.stop()


def ask(app, worker, command, **arguments):
    node = f"{worker.name}@test"
    answers = app.control.broadcast(
        command, arguments=arguments, reply=True, destination=[node], timeout=5
    )
    return answers[0][node]


@pytest.mark.parametrize(
    "first, second", [(rust_worker, python_worker), (python_worker, rust_worker)]
)
def test_who_joins_learns_what_is_revoked_and_how_late_it_is(village, first, second):
    old = village(first, "old")
    ask(village.app, old, "revoke", task_id=["one", "two"])
    for _ in range(50):
        village.app.control.heartbeat()
    late = ask(village.app, old, "clock")["clock"]
    new = village(second, "new")
    assert "mingle: sync with 1 nodes" in new.log.read_text()
    assert set(ask(village.app, new, "revoked")) == {"one", "two"}
    assert ask(village.app, new, "clock")["clock"] > late


def test_who_joins_tells_what_it_knows(village):
    old = village(rust_worker, "old")
    answer = ask(village.app, old, "hello", from_node="new@test", revoked=["three"])
    assert answer["clock"] > 0
    assert ask(village.app, old, "revoked") == ["three"]
    assert ask(village.app, old, "hello", from_node="old@test") is None


def test_what_was_revoked_while_the_connection_was_lost_is_learned(village, durable_redis):
    # A task, so that its connection for messages is there to be lost.
    rust = village(rust_worker, "rust")
    village.lane.call("identity", 1)
    python = village(python_worker, "python")
    rust.signal(signal.SIGSTOP)
    ask(village.app, python, "revoke", task_id="missed")
    durable_redis.kill()  # and with it what the stopped worker has not read
    durable_redis.start()
    until(lambda: back(durable_redis, python), "the Python worker is back", 30)
    rust.signal(signal.SIGCONT)
    until(lambda: "missed" in back(durable_redis, rust), "it has learned of it", 20)


def back(redis, worker):
    """What a worker has revoked, once it answers a new client."""
    node = f"{worker.name}@test"
    try:
        answers = client(redis).control.inspect([node], timeout=1.5).revoked()
        return (answers or {}).get(node, [])
    except redis_client.ConnectionError:
        return []


def test_each_notices_that_the_other_is_gone(village):
    watcher, watched = village(python_worker, "python"), village(rust_worker, "rust")
    time.sleep(3)  # a heartbeat comes every two seconds
    watched.kill()
    watcher.wait_for_log("missed heartbeat from rust@test", 20)
    other = village(rust_worker, "other")
    time.sleep(3)  # a heartbeat comes every two seconds
    watcher.kill()
    other.wait_for_log("missed heartbeat from python@test", 20)


def test_one_of_several_is_elected(village, redis):
    rusts = [village(rust_worker, f"rust{n}") for n in range(3)]
    key = f"elected-{uuid()[:8]}"
    time.sleep(3)  # until each has heard the others' heartbeats
    action = village.app.signature(
        "t.integration.tasks.redis_count", kwargs={"redis_key": key}, queue="village"
    )
    village.app.control.election("office", "task", action)
    won = lambda: [w for w in rusts if 'election "office": this worker is elected' in w.log.read_text()]
    lost = lambda: [w for w in rusts if re.search(r'election "office": \S+ is elected', w.log.read_text())]
    until(lambda: len(won()) + len(lost()) == 3, "all know the winner")
    (winner,) = won()
    assert all(f"{winner.name}@test.{winner.child.pid} is elected" in w.log.read_text() for w in lost())
    counted = lambda: redis.client.get(key)
    until(counted, "its action runs")
    time.sleep(0.5)  # for another one, if there were any
    assert counted() == "1"


def test_a_python_worker_takes_part_in_an_election(village):
    """It stands, and its acknowledgement is waited for."""
    rust, python = village(rust_worker, "rust"), village(python_worker, "python")
    time.sleep(3)  # until each has heard the other's heartbeat
    village.app.control.election("office", "nothing")
    until(lambda: "office" in rust.log.read_text(), "it knows the winner")
    assert python.running
