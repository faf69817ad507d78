"""What is deep or large is run as Python runs it; what is too deep is refused."""

import base64
import json

import pytest
from celery import chain, group

from support.workers import rust_worker
from support.workflows import Tasks


def nested(depth, value=1, key=None):
    for _ in range(depth):
        value = {key: value} if key else [value]
    return value


def send_raw(lane, body):
    """A task message as Celery leaves it in the queue, with another body."""
    idle = type(lane)(lane.app, lane.redis, f"idle-{lane.queue}")
    idle.send("identity", 1)
    message = json.loads(lane.redis.client.lpop(idle.queue))
    message["body"] = base64.b64encode(body.encode()).decode()
    lane.redis.client.lpush(lane.queue, json.dumps(message))


@pytest.mark.parametrize("key", [None, "k"])
def test_arguments_400_deep_come_back(rust, key):
    value = nested(400, key=key)
    assert rust.call("identity", value) == value
    tasks = Tasks(rust.app, queue=rust.queue)
    assert (tasks.identity(value) | tasks.identity()).apply_async().get(timeout=15) == value


def test_60_callbacks_each_linked_to_the_one_before(rust):
    tasks = Tasks(rust.app, queue=rust.queue)
    last = tasks.identity().clone(immutable=False)
    call = last.set(task_id="depth-last")
    for _ in range(59):
        outer = tasks.identity()
        outer.link(call)
        call = outer
    first = tasks.identity("through")
    first.link(call)
    first.apply_async()
    result = rust.app.AsyncResult("depth-last")
    assert result.get(timeout=30) == "through"


def test_a_chain_of_70_groups(rust):
    tasks = Tasks(rust.app, queue=rust.queue)
    step = group(tasks.identity(1, immutable=True), tasks.identity(2, immutable=True))
    assert chain(step.clone() for _ in range(70)).apply_async().get(timeout=50) == [1, 2]


def test_what_is_large_comes_back(rust):
    many = {f"key-{number}": number for number in range(100_000)}
    assert rust.call("identity", many) == many


@pytest.mark.parametrize("serializer", ["msgpack", "yaml"])
def test_other_serializers_go_as_deep(start, lane, serializer):
    start(rust_worker, lane, settings={"accept_content": ["json", serializer]})
    value = nested(400 if serializer == "msgpack" else 150)
    assert lane.apply("identity", [value], serializer=serializer).get(timeout=15) == value


def test_what_is_deeper_than_stated_harms_nobody(start, lane):
    worker = start(rust_worker, lane)
    for depth in (1_001, 100_000):
        send_raw(lane, "[[" + "[" * depth + "]" * depth + "], {}, {}]")
    assert lane.call("identity", "after") == "after"
    worker.wait_for_log("nested deeper than 1000")
    assert worker.running
