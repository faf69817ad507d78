"""Redis takes nothing back that a script has done: what it refuses in the middle of one,
by a key of another kind or a right that is missing, loses nothing."""

from types import SimpleNamespace

import pytest

from conftest import client
from support.lane import Lane
from support.waiting import until
from support.workers import rust_worker

#: Where a message goes on its way, by what stands in the way.
KEYS = {"the queue": "lane", "another queue": "other", "what is held": "unacked",
        "when it was taken": "unacked_index"}


@pytest.fixture
def lane(durable_redis):
    return Lane(client(durable_redis), durable_redis, "lane")


@pytest.fixture
def worker(durable_redis, redis, tmp_path, lane):
    worker = rust_worker(durable_redis, redis, tmp_path, "w", ["lane", "other"],
                         settings={"broker_transport_options": {"worker_lease": 1}})
    works(worker, lane)
    yield worker
    worker.stop()


def works(worker, lane):
    """What is refused before anything has worked is for people to mend: it ends."""
    worker.wait_for_log("ready.")
    done(lane, lane.send("add", 1, 1))
    until(lambda: lane.held() == 0, "it is settled")


def done(lane, result):
    until(lambda: (lane.meta(result) or {}).get("status") == "SUCCESS", "it has run", 10)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_a_key_of_another_kind(lane, worker, durable_redis, key):
    redis = durable_redis.client
    redis.set(key, "no list, hash or sorted set")
    sent = [] if key == lane.queue else [lane.send("add", n, n) for n in range(3)]
    until(lambda: f"wrong kind of value ({key})" in worker.log.read_text(), "it is named", 10)
    assert [lane.meta(result) for result in sent] == [None] * len(sent)
    redis.delete(key)
    sent += [lane.send("add", n, n) for n in range(3)]
    for result in sent:
        done(lane, result)
    until(lambda: lane.held() == 0 and not redis.zcard("unacked_index"), "all is settled")


def test_what_is_no_message_finds_no_list(lane, worker, durable_redis):
    redis = durable_redis.client
    redis.set("celeriac.refused", "no list")
    redis.lpush(lane.queue, "garbage")
    until(lambda: "wrong kind of value (celeriac.refused)" in worker.log.read_text(), "it is said", 10)
    assert redis.lrange(lane.queue, 0, -1) == ["garbage"]
    redis.delete("celeriac.refused")
    until(lambda: redis.llen("celeriac.dead_letter") == 1, "it is kept", 10)
    done(lane, lane.send("add", 1, 1))


def test_a_dead_letter_finds_no_list(lane, worker, durable_redis):
    redis = durable_redis.client
    redis.set("celeriac.dead_letter", "no list")
    redis.lpush(lane.queue, "garbage")
    until(lambda: "it is left as it is" in worker.log.read_text(), "it is said", 45)
    assert redis.lrange("celeriac.refused", 0, -1) == ["garbage"]
    done(lane, lane.send("add", 1, 1))


@pytest.mark.parametrize("right, key", [("hset", "unacked"), ("zadd", "unacked_index")])
def test_a_right_that_is_taken_away(lane, durable_redis, redis, tmp_path, right, key):
    acl = durable_redis.client.execute_command
    acl("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
    broker = SimpleNamespace(url=durable_redis.url.replace("//", "//worker:secret@"))
    worker = rust_worker(broker, redis, tmp_path, "w", [lane.queue])
    try:
        works(worker, lane)
        acl("ACL", "SETUSER", "worker", f"-{right}")
        sent = [lane.send("add", n, n) for n in range(3)]
        until(lambda: f"({key})" in worker.log.read_text(), "it is said", 10)
        assert lane.waiting() == 3
        acl("ACL", "SETUSER", "worker", f"+{right}")
        for result in sent:
            done(lane, result)
    finally:
        worker.stop()


def test_a_queue_that_takes_nothing_keeps_back_no_other(lane, worker, durable_redis, redis, tmp_path):
    """What a dead worker held goes back, but for what has no list to go to."""
    dead = rust_worker(durable_redis, redis, tmp_path, "dead", ["spoilt", "whole"],
                       settings={"broker_transport_options": {"worker_lease": 1}})
    dead.wait_for_log("ready.")
    spoilt, whole = (Lane(lane.app, durable_redis, queue) for queue in ("spoilt", "whole"))
    held = [queue.apply("add", [1, 1], countdown=60) for queue in (spoilt, whole)]
    until(lambda: spoilt.held() + whole.held() == 2, "both are held")
    dead.kill()
    durable_redis.client.set("spoilt", "no list")
    until(whole.waiting, "what has a list is in it", 20)
    assert "wrong kind of value (spoilt)" in worker.log.read_text()
    assert spoilt.held() == 1
    durable_redis.client.delete("spoilt")
    until(spoilt.waiting, "so is the other", 20)
    assert spoilt.held() + whole.held() == 0
