"""What a worker holds stays with it until it is done, under a name of its own."""

from collections import Counter

import pytest

from conftest import client
from support.lane import Lane
from support.memory import resident
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import rust_worker

SETTINGS = {"broker_transport_options": {"worker_lease": 1}}
LATE = {"task_acks_late": True, **SETTINGS}


@pytest.fixture
def own(tmp_path):
    """A lane on a Redis of the test's own. What its tasks do is seen elsewhere."""
    (tmp_path / "own").mkdir()
    server = RedisServer(tmp_path / "own")
    yield Lane(client(server), server, "holding")
    server.stop()


def record(lane, numbers, countdown=None, pause=0):
    key = f"done-{lane.redis.port}"
    for n in numbers:
        lane.apply("interop.record", [n, key], {"pause": pause}, countdown=countdown,
                   ignore_result=True)
    return key


def done(redis, key):
    return Counter(map(int, redis.client.lrange(key, 0, -1)))


def until_held(lane, count):
    """All of them are in `unacked`, each under a tag of its own."""
    until(lambda: lane.redis.client.hlen("unacked") == count, f"{count} are held")
    assert lane.redis.client.zcard("unacked_index") == count


def add_consumer(lane, node):
    lane.app.control.add_consumer("another", destination=[node], reply=True, timeout=5)


def cancel_consumer(lane, node):
    add_consumer(lane, node)
    lane.app.control.cancel_consumer("another", destination=[node], reply=True, timeout=5)


def cut_off(lane, node):
    redis = lane.redis.client
    assert redis.client_kill_filter(_type="normal", skipme=True) > 0


@pytest.mark.parametrize("disturb, end", [
    (add_consumer, "stop"), (cancel_consumer, "kill"), (cut_off, "stop"),
])
def test_what_was_held_before_a_new_fetch_runs_once(start, own, redis, disturb, end):
    first = start(rust_worker, own, settings=SETTINGS)
    key = record(own, range(5), countdown=6)
    until_held(own, 5)
    disturb(own, f"{first.name}@test")
    record(own, range(5, 10), countdown=6)
    until_held(own, 10)
    getattr(first, end)()
    start(rust_worker, own, settings=SETTINGS)
    until(lambda: len(done(redis, key)) == 10, "all have run", 30)
    assert done(redis, key) == Counter(range(10))
    until_held(own, 0)


def test_a_late_task_that_was_cut_off_runs_again_beside_those_fetched_later(start, own, redis):
    first = start(rust_worker, own, concurrency=8, settings=LATE)
    key = record(own, range(4), pause=60)
    until_held(own, 4)
    cut_off(own, None)
    record(own, range(4, 8), pause=60)
    until_held(own, 8)
    first.kill()
    second = start(rust_worker, own, concurrency=8, settings=LATE)
    until(lambda: len(running(own, second)) == 8, "all run again", 30)
    assert running(own, second) == set(range(8))
    second.kill()
    assert not done(redis, key)


def running(lane, worker):
    node = f"{worker.name}@test"
    answer = lane.app.control.inspect([node], timeout=1).active() or {}
    return {task["args"][0] for task in answer.get(node, [])}


def test_dead_letters_have_ids_of_their_own(start, own):
    worker = start(rust_worker, own, settings=SETTINGS)
    letters = lambda: own.redis.client.lrange("celeriac.dead_letter", 0, -1)  # noqa: E731
    for number in (1, 2):
        own.redis.client.lpush(own.queue, '{"no": "message"}')
        until(lambda: len(letters()) == number, "it is kept")
        cancel_consumer(own, f"{worker.name}@test")
    ids = {letter.split('"id":"')[1].split('"')[0] for letter in letters()}
    assert len(ids) == 2


def test_a_held_countdown_takes_little_memory(own):
    """A fleet may hold many of them, and for long."""
    few, many = 500, 6000
    worker = rust_worker(own.redis, own.redis, own.redis.directory, "holder", [own.queue])
    try:
        record(own, range(few), countdown=3600)
        until_held(own, few)
        before = resident(worker.pid)
        record(own, range(few, many), countdown=3600)
        until(lambda: own.redis.client.hlen("unacked") == many, "all are held", 60)
        assert (resident(worker.pid) - before) / (many - few) < 4096
    finally:
        worker.kill()
