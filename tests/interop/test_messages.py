"""What a Rust worker sends is, header by header, what a Python worker sends."""

import json

import pytest
from celery import chain, chord, group, uuid

from support.lane import Lane, full_name
from support.messages import differences
from support.waiting import until
from support.workers import python_worker, rust_worker


class Sender:
    """A lane whose worker is to send to a queue that nobody serves."""

    def __init__(self, lane, idle):
        self.lane, self.idle = lane, idle

    def mine(self, name, *args, **options):
        """What the lane's worker runs."""
        return self.lane.app.signature(full_name(name), args, queue=self.lane.queue, **options)

    def sent(self, name, *args, **options):
        """What is to lie in the queue."""
        return self.lane.app.signature(full_name(name), args, queue=self.idle, **options)

    def apply(self, canvas):
        """Has a task of the worker's send it."""
        self.lane.send("interop.apply", json.loads(json.dumps(canvas)))


def stamped(signature, **stamps):
    signature.stamp(**stamps)
    return signature


OPTIONS = {"countdown": 5, "expires": 60, "priority": 4, "time_limit": 9, "soft_time_limit": 4,
           "shadow": "sh", "ignore_result": True, "headers": {"x": 1}}

#: What becomes properties of the message, and what is about its sending only.
PROPERTIES = {"message_id": "m", "app_id": 5, "own": {"a": [None]}, "expiration": 7.5,
              "delivery_mode": "transient", "retry": False, "retry_policy": {"max_retries": 1},
              "mandatory": True, "timeout": 5, "exchange_type": "direct"}

SENT = {
    "next of a chain": lambda s: chain(
        s.mine("add", 1, 2), s.sent("add", 3), s.sent("mul", 4)).apply_async(),
    "with every option": lambda s: chain(
        s.mine("add", 1, 2), s.sent("add", 3, **OPTIONS)).apply_async(),
    "with properties": lambda s: chain(
        s.mine("add", 1, 2), s.sent("add", 3, **PROPERTIES)).apply_async(),
    "a task that ignores its result": lambda s: chain(
        s.mine("add", 1, 2), s.sent("add_ignore_result", 3)).apply_async(),
    "a task that its sender does not know": lambda s: chain(
        s.mine("add", 1, 2), s.sent("nobody.knows", 3)).apply_async(),
    "link": lambda s: s.mine("add", 1, 2).apply_async(link=s.sent("add", 3)),
    "stamped link": lambda s: stamped(
        s.mine("add", 1, 2, link=s.sent("add", 3)), tenant="b").apply_async(),
    "errback": lambda s: s.mine("fail", 1).apply_async(link_error=s.sent("errback_old_style")),
    "member of a group": lambda s: chain(
        s.mine("add", 1, 2), group(s.sent("add", 3), s.sent("add", 4))).apply_async(),
    "body of a chord": lambda s: chord([s.mine("add", 1, 2)] * 2, s.sent("tsum")).apply_async(),
    "header of a chord": lambda s: chain(
        s.mine("add", 1, 2), chord([s.sent("add", 3)], s.sent("tsum"))).apply_async(),
    "sent by a task": lambda s: s.apply(s.sent("add", kwargs={"x": 1, "y": 2})),
    "sent by a task, at a time": lambda s: s.apply(
        s.sent("add", kwargs={"x": 1, "y": 2}, eta="2999-01-01T00:00:00", expires="2999-01-02")),
    "chord sent by a task": lambda s: s.apply(
        chord([s.sent("add", kwargs={"x": 1, "y": 2})], s.sent("tsum"))),
    "map sent by a task": lambda s: s.apply(
        s.lane.app.tasks["celery.map"].s(task=s.sent("add"), it=[1]).set(queue=s.idle)),
}


def first(redis, queue):
    """The first message of a queue, taken out of it."""
    steps = [queue] + [f"{queue}\x06\x16{step}" for step in (3, 6, 9)]
    return next((message for step in steps if (message := redis.client.rpop(step))), None)


@pytest.mark.parametrize("send", SENT.values(), ids=SENT.keys())
def test_a_message_is_sent_as_by_python(python, rust, send):
    # One name for both, so that it need not be made comparable.
    idle, messages = f"idle-{uuid()}", []
    for lane in (python, rust):
        send(Sender(lane, idle))
        messages.append(until(lambda: first(lane.redis, idle), "the message"))
        lane.redis.client.delete(idle)
    found = list(differences(*messages))
    assert not found, "\n".join(found)


def test_rusty_celerys_way_of_sending_is_no_other(python, rust):
    idle = f"idle-{uuid()}"
    sender = Sender(python, idle)
    # Python's worker does not know the task, and so not that its result is wanted.
    sender.apply(sender.sent("rusty.add", kwargs={"x": 1, "y": 2}, ignore_result=False))
    theirs = until(lambda: first(python.redis, idle), "Python's")
    result = rust.send("rusty.send", 1, 2, idle)
    ours = until(lambda: first(rust.redis, idle), "Rust's")
    found = list(differences(theirs, ours))
    assert not found, "\n".join(found)
    sent = result.get(timeout=10)
    assert rust.meta(result)["children"] == [[[sent, None], None]]


RETRIES = [
    ("retry_once_headers", {"headers": {"x": 1}}),
    ("retry_once_priority", {"priority": 5, "expires": 600, "time_limit": 50, "shadow": "s"}),
]


def test_a_retry_is_sent_as_by_python(start, app, redis):
    # One after the other under one name: neither would take the other's.
    queue, sent = f"lane-{uuid()[:8]}", []
    for kind in (python_worker, rust_worker):
        lane = Lane(app, redis, queue)
        worker = start(kind, lane)
        sent.append([retry_message(lane, *retry) for retry in RETRIES])
        worker.stop()
        for step in (queue, f"{queue}\x06\x166", f"{queue}\x06\x163"):
            redis.client.delete(step)
    for (name, _), *messages in zip(RETRIES, *sent):
        found = list(differences(*messages))
        assert not found, "\n".join([name, *found])


def test_a_retry_may_be_sent_in_another_way(python, rust):
    idle, messages = f"idle-{uuid()}", []
    for lane in (python, rust):
        more = {"queue": idle, "priority": 5, "expires": 600, "time_limit": 50, "shadow": "s",
                "message_id": "m", "headers": {"x": 1}}
        lane.send("interop.retry_with", **more)
        messages.append(until(lambda: first(lane.redis, idle), "the message"))
    found = list(differences(*messages))
    assert not found, "\n".join(found)


def retry_message(lane, name, options):
    """The message of a task's second run, as its worker holds it until then."""
    result = lane.apply(name, [], {"countdown": 100}, **options)

    def held():
        messages = [json.loads(text)[0] for text in lane.redis.client.hvals("unacked")]
        return [message for message in messages if message["headers"]["id"] == result.id
                and message["headers"]["retries"] == 1]

    (message,) = until(held, "the retry")
    return json.dumps(message)
