"""A queue and the client's view of it."""

import json
import time

from celery import uuid
from celery.result import AsyncResult

from .waiting import until

READY = {"SUCCESS", "FAILURE", "REVOKED"}


def full_name(name):
    """`add` is `t.integration.tasks.add`; a dotted name is whole."""
    whole = "." in name or name == "auto_retry_class_task"
    return name if whole else f"t.integration.tasks.{name}"


class Lane:
    """Sends tasks to one queue and reads what its workers store."""

    def __init__(self, app, redis, queue):
        self.app = app
        self.redis = redis
        self.queue = queue

    def apply(self, name, args=(), kwargs=None, **options) -> AsyncResult:
        options.setdefault("queue", self.queue)
        return self.app.send_task(full_name(name), args, kwargs, **options)

    def send(self, name, *args, **kwargs):
        return self.apply(name, args, kwargs)

    def call(self, name, *args, **kwargs):
        return self.send(name, *args, **kwargs).get(timeout=15)

    def meta(self, result):
        """What is stored of a task, as it lies in Redis."""
        text = self.redis.client.get(f"celery-task-meta-{result.id}")
        return text and json.loads(text)

    def history(self, name, args=(), kwargs=None, timeout=15, **options):
        """Every state that the task's worker publishes, the last one included."""
        id = options.setdefault("task_id", uuid())
        with self.redis.client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(f"celery-task-meta-{id}")
            self.apply(name, args, kwargs, **options)
            states = []

            def ended():
                message = channel.get_message(timeout=1)
                if message and message["type"] == "message":
                    states.append(json.loads(message["data"]))
                return states and states[-1]["status"] in READY

            until(ended, f"{name} ends", timeout)
        return states

    def waiting(self):
        """How many messages lie in the queue, whatever their priority."""
        steps = [self.queue] + [f"{self.queue}\x06\x16{step}" for step in (3, 6, 9)]
        return sum(self.redis.client.llen(step) for step in steps)

    def held(self):
        """How many messages of this queue a worker has taken and not settled."""
        messages = self.redis.client.hvals("unacked")
        return sum(json.loads(message)[2] == self.queue for message in messages)

    def since_delivery(self):
        """Seconds since a worker last took, or renewed, a message."""
        _, newest = self.redis.client.zrange("unacked_index", -1, -1, withscores=True)[0]
        return time.time() - newest
