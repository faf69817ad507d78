"""Tells the tests what an embedded worker would have told them itself.

Some of Celery's tests look into the worker that runs in their own process:
they connect to `task_received`, or wait for a task in `successful_requests`.
Redis's MONITOR shows when a worker of any kind takes a message, and which
events it sends; both are passed on.
"""

import base64
import json
import re
from threading import Event, Thread
from time import sleep
from uuid import uuid4

from celery import current_app
from celery.backends.redis import ResultConsumer
from celery.result import AsyncResult
from celery.signals import task_received
from celery.worker import state
from celery.worker.request import Request
from kombu.message import Message

from support.waiting import until

QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.)")
LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}

#: Seconds. Tests make ready for the signal right after they have sent a task;
#: an embedded worker is never faster than that.
AFTER = 0.02


def unescape(text):
    def character(match):
        code = match[1]
        return bytes.fromhex(code[1:].decode()) if len(code) > 1 else LETTERS.get(code, code)

    return ESCAPED.sub(character, text)


class Watch:
    def __init__(self, redis):
        self.client = redis.client
        self.waiting = {}
        self.connection = redis.client.connection_pool.get_connection()
        self.connection.send_command("MONITOR")
        self.connection.read_response()
        self.closing = False
        Thread(target=self.run, daemon=True).start()

    def close(self):
        self.closing = True
        self.connection.disconnect()

    def run(self):
        while not self.closing:
            try:
                line = self.connection.read_response(disable_decoding=True, timeout=None)
            except (OSError, ValueError, AttributeError):
                if self.closing:
                    return
                raise
            self.see(*map(unescape, QUOTED.findall(line)))

    def see(self, command, *args):
        command = command.upper()
        if command == b"ECHO" and args[0] in self.waiting:
            self.waiting.pop(args[0]).set()
        elif command == b"HSET" and args[0] == b"unacked":
            if task_received.receivers:
                sleep(AFTER)
                for entry in args[2::2]:
                    received(json.loads(entry)[0])
        elif command == b"PUBLISH" and b".celeryev/" in args[0]:
            happened(json.loads(base64.b64decode(json.loads(args[1])["body"])))

    def catch_up(self):
        """Returns when all that Redis has done up to now is passed on."""
        token, seen = uuid4().hex.encode(), Event()
        self.waiting[token] = seen
        self.client.echo(token)
        assert seen.wait(5), "MONITOR is silent"


def received(message):
    """A worker has taken this message."""
    headers = message["headers"]
    task = current_app.tasks.get(headers.get("task"))
    if task is None:
        return
    message = Message(
        base64.b64decode(message["body"]),
        headers=headers,
        content_type=message["content-type"],
        content_encoding=message["content-encoding"],
        properties=message["properties"],
        delivery_info=message["properties"]["delivery_info"],
    )
    request = Request(message, app=current_app, task=task)
    task_received.send(sender=None, request=request)


def happened(events):
    for event in events if isinstance(events, list) else [events]:
        if event["type"] == "task-succeeded":
            state.successful_requests.add(event["uuid"])


def results_wait_for(watch, patch):
    """Nobody sees a result before the signals of what led to it."""
    original = ResultConsumer.on_state_change

    def on_state_change(consumer, meta, message):
        if task_received.receivers:
            watch.catch_up()
        return original(consumer, meta, message)

    patch.setattr(ResultConsumer, "on_state_change", on_state_change)


def subscriptions_come_first(patch):
    """Nobody asks for a result before Redis knows that he waits for it.

    Celery's client subscribes on one connection and asks on another, and waits
    for ever if Redis hears of them in the other order and the result is stored
    in between. An embedded worker is too slow for that.
    """
    original = ResultConsumer.on_wait_for_pending

    def on_wait_for_pending(consumer, result, **options):
        client = consumer.backend.client
        for one in getattr(result, "results", [result]):
            channel = consumer._get_key_for_task(one.id)
            if channel in consumer.subscribed_to:
                until(lambda: client.pubsub_numsub(channel)[0][1], "Redis knows who waits", 10)
        return original(consumer, result, **options)

    patch.setattr(ResultConsumer, "on_wait_for_pending", on_wait_for_pending)


def parents_errors_come_first(patch):
    """`get` raises the error of a parent, if one has failed.

    Celery's asks the parents once, then for the result, and misses what a
    worker stores in between. An embedded worker is too slow for that.
    """
    original = AsyncResult.get

    def get(result, *args, propagate=True, follow_parents=True, **options):
        follow = propagate and follow_parents
        try:
            return original(
                result, *args, propagate=propagate, follow_parents=follow_parents, **options
            )
        except Exception:
            if follow and result.parent:
                result._maybe_reraise_parent_error()
            raise

    patch.setattr(AsyncResult, "get", get)
