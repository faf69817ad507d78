"""How long chords live, and who sends the body when a worker dies."""

import json
import signal

from celery import chord, uuid

from conftest import client
from support.lane import Lane, full_name
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import rust_worker

LATE = {"task_acks_late": True, "broker_transport_options": {"worker_lease": 1}}


def task(lane, name, *args):
    return lane.app.signature(full_name(name), args, options={"queue": lane.queue})


def test_a_part_does_not_shorten_a_chords_life(start, lane, redis):
    start(rust_worker, lane, settings={"result_expires": 3})
    app = client(redis)
    app.conf.update(result_expires=3, result_chord_expires=6000)
    own = Lane(app, redis, lane.queue)
    members = [task(own, "add", 1, 1), task(own, "delayed_sum", [1], 5)]
    result = chord(members, app=app)(task(own, "tsum"))
    key = f"celery-taskset-meta-{result.parent.id}"
    until(lambda: redis.client.zcard(f"{key}.j") == 1, "a part has been counted")
    # The first may end before the size is told, and so long it lives a day.
    for suffix in (".s", ".j", ".d"):
        assert redis.client.ttl(key + suffix) > 5900, suffix
    assert result.get(timeout=30) == 3


def test_a_part_that_comes_before_the_size_does_not_end_the_chord(start, lane, redis):
    """Celery sets the size, and with it the life, when all members have been sent."""
    group, early, late = uuid(), uuid(), uuid()
    body = task(lane, "tsum")
    body.options["task_id"] = uuid()
    key = f"celery-taskset-meta-{group}"

    def send(member, index, *numbers):
        sent = task(lane, "add", *numbers)
        sent.options.update(task_id=member, group_id=group, group_index=index)
        sent.apply_async(chord=json.loads(json.dumps(body)))

    start(rust_worker, lane, settings={"result_expires": 3})
    send(early, 0, 1, 1)
    until(lambda: redis.client.zcard(f"{key}.j") == 1, "a part has been counted")
    assert redis.client.ttl(f"{key}.j") > 80_000
    redis.client.set(f"{key}.s", 2, ex=6000)
    send(late, 1, 2, 2)
    assert lane.app.AsyncResult(body.options["task_id"]).get(timeout=30) == 6


def test_a_chord_lives_as_long_as_is_set(start, lane, redis):
    start(rust_worker, lane, settings={"result_expires": 60, "result_chord_expires": 7000})
    result = chord([task(lane, "add", 1, 1), task(lane, "delayed_sum", [1], 3)], app=lane.app)(
        task(lane, "tsum"))
    key = f"celery-taskset-meta-{result.parent.id}.j"
    until(lambda: redis.client.zcard(key) == 1, "a part has been counted")
    assert redis.client.ttl(key) > 6900
    assert result.get(timeout=30) == 3


def test_the_body_is_sent_although_its_worker_died_before(start, lane, redis):
    """The claim of the worker that was to send it is still there."""
    group, member, body = uuid(), uuid(), uuid()
    sent = task(lane, "add", 1, 2).clone()
    sent.options.update(task_id=member, group_id=group, group_index=0)
    callback = task(lane, "tsum")
    callback.options["task_id"] = body
    key = f"celery-taskset-meta-{group}"
    redis.client.set(f"{key}.s", 1, ex=100)
    redis.client.set(f"{key}.c", "of a worker that died", ex=4)
    start(rust_worker, lane, settings=LATE)
    sent.apply_async(chord=json.loads(json.dumps(callback)))
    result = lane.app.AsyncResult(member)
    assert result.get(timeout=15) == 3
    assert lane.app.AsyncResult(body).get(timeout=30) == 3
    until(lambda: lane.held() == 0, "nothing is held")
    assert redis.client.get(f"{key}.c") == "done"


def test_a_claim_lasts_while_the_broker_is_away(start, redis, tmp_path):
    """Else each of those who wait for it would send the body when the broker is back."""
    (tmp_path / "own").mkdir()
    broker = RedisServer(tmp_path / "own")
    app = client(broker)
    app.conf.result_backend = redis.url
    lane = Lane(app, broker, "claimed")
    worker = rust_worker(broker, redis, tmp_path, "claimer", [lane.queue], concurrency=2,
                         backend=redis, settings={"task_acks_late": True})
    try:
        lane.call("add", 1, 1)
        key = f"ran-{uuid()}"
        body = task(lane, "redis_echo", "body", key).set(immutable=True)
        result = chord([task(lane, "sleeping", 2), task(lane, "sleeping", 2)], app=lane.app)(body)
        claim = f"celery-taskset-meta-{result.parent.id}.c"
        until(lambda: lane.held() == 2, "both run")
        broker.process.signal(signal.SIGSTOP)
        until(lambda: redis.client.ttl(claim) > 50, "the body is to be sent")
        until(lambda: redis.client.ttl(claim) < 50, "time passes", 20)
        until(lambda: redis.client.ttl(claim) > 50, "the claim is renewed", 20)
        broker.process.signal(signal.SIGCONT)
        until(lambda: redis.client.get(claim) == "done", "the body is sent", 30)
        until(lambda: lane.held() == 0 and not broker.client.llen(lane.queue), "all has run", 30)
        assert redis.client.lrange(key, 0, -1) + broker.client.lrange(key, 0, -1) == ["body"]
    finally:
        worker.kill()
        broker.process.signal(signal.SIGCONT)
        broker.stop()
