"""A worker that was away learns what others have been given meanwhile."""

import signal
import time
from collections import Counter

import pytest

from conftest import client
from support.lane import Lane
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
    yield Lane(client(server), server, "leases")
    server.stop()


def record(lane, numbers, pause=0, **options):
    key = f"done-{lane.redis.port}"
    for n in numbers:
        lane.apply("interop.record", [n, key], {"pause": pause}, ignore_result=True, **options)
    return key


def done(redis, key):
    return Counter(map(int, redis.client.lrange(key, 0, -1)))


def tags(lane):
    return lane.redis.client.hkeys("unacked")


def until_held(lane, count):
    until(lambda: lane.redis.client.hlen("unacked") == count, f"{count} are held")


def until_taken_over(lane, others):
    """Nothing is held any more under the tags of `others`."""
    until(lambda: len(tags(lane)) == len(others) and not set(tags(lane)) & set(others),
          "another worker holds them", 30)


def test_what_was_taken_from_a_stopped_worker_does_not_begin_in_it(start, own, redis):
    first = start(rust_worker, own, settings=SETTINGS)
    key = record(own, range(20), countdown=8)
    until_held(own, 20)
    before = tags(own)
    first.signal(signal.SIGSTOP)
    second = start(rust_worker, own, settings=SETTINGS)
    until_taken_over(own, before)
    until(lambda: len(done(redis, key)) == 20, "all have run", 30)
    first.signal(signal.SIGCONT)
    first.wait_for_log("20 message(s) were given to others")
    # It works as ever.
    second.kill()
    record(own, [20])
    until(lambda: 20 in done(redis, key), "it runs another")
    assert done(redis, key) == Counter(range(21))
    until_held(own, 0)


def test_what_runs_on_after_a_stop_is_told_once(start, own, redis):
    first = start(rust_worker, own, settings=LATE)
    key = record(own, range(3), pause=6)
    until_held(own, 3)
    before = tags(own)
    first.signal(signal.SIGSTOP)
    start(rust_worker, own, settings=LATE)
    until_taken_over(own, before)
    first.signal(signal.SIGCONT)
    first.wait_for_log("3 running task(s) were given to others")
    until(lambda: len(list(done(redis, key).elements())) == 6, "all have run twice", 30)
    until_held(own, 0)
    assert first.log.read_text().count("were given to others") == 1


def test_a_short_visibility_timeout_is_kept_up_with(start, own, redis):
    settings = {"task_acks_late": True, "broker_transport_options": {"visibility_timeout": 2}}
    workers = [start(rust_worker, own, settings=settings) for _ in range(2)]
    key = record(own, range(2), pause=7)
    until(lambda: len(done(redis, key)) == 2, "both have run", 30)
    until_held(own, 0)
    assert done(redis, key) == Counter(range(2))
    assert all(worker.running for worker in workers)


def test_a_worker_lives_though_redis_has_no_memory_left(start, own, redis):
    """Renewing its lease needs none."""
    workers = [start(rust_worker, own, settings=LATE) for _ in range(2)]
    key = record(own, range(2), pause=6)
    until_held(own, 2)
    before = tags(own)
    own.redis.client.config_set("maxmemory", 1)
    time.sleep(4)
    assert tags(own) == before
    own.redis.client.config_set("maxmemory", 0)
    until(lambda: len(done(redis, key)) == 2, "both have run", 30)
    until_held(own, 0)
    assert done(redis, key) == Counter(range(2))
    assert all(worker.running for worker in workers)


def test_what_a_broker_without_its_data_has_forgotten_still_runs(start, own, redis):
    """Nobody else has been given it."""
    worker = start(rust_worker, own, settings=SETTINGS)
    key = record(own, range(3), countdown=5)
    until_held(own, 3)
    own.redis.client.flushall()
    until(lambda: len(done(redis, key)) == 3, "all have run", 30)
    assert worker.running
    record(own, [3])
    until(lambda: 3 in done(redis, key), "it runs another")
    assert done(redis, key) == Counter(range(4))


def test_an_idle_worker_on_400_queues_asks_little(start, own):
    lanes = [Lane(own.app, own.redis, f"queue-{n}") for n in range(400)]
    names = ",".join(lane.queue for lane in lanes)
    start(rust_worker, Lane(own.app, own.redis, names))
    time.sleep(2)
    asked = own.redis.client.info("stats")["total_commands_processed"]
    calls = commands(own)
    time.sleep(12)
    calls = commands(own) - calls
    asked = own.redis.client.info("stats")["total_commands_processed"] - asked
    assert asked / 12 < 9, asked
    assert calls.total() / 12 < 9, calls
    for lane in lanes[::50]:
        assert lane.call("identity", lane.queue) == lane.queue


def commands(lane):
    """How often each command was called, scripts' calls included."""
    stats = lane.redis.client.info("commandstats")
    return Counter({name: stat["calls"] for name, stat in stats.items()})
