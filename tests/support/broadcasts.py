"""Queues that all workers hear, and what Redis has of them."""

from celery import Celery, uuid
from kombu import Exchange, Queue, binding
from kombu.common import Broadcast

from .lane import full_name


def queues(entries):
    """Entries of celeryconfig.toml's `task_queues` as Python has them."""
    return entries if isinstance(entries, dict) else [queue(entry) for entry in entries]


def queue(entry):
    if isinstance(entry, str):
        return Queue(entry, Exchange(entry), entry)
    if entry.get("exchange_type") == "fanout":
        return Broadcast(entry["name"])
    exchange = entry.get("exchange") and exchange_of(entry)
    bindings = [binding(exchange_of(other), other["routing_key"])
                for other in entry.get("bindings", [])]
    return Queue(entry["name"], exchange, entry.get("routing_key", ""), bindings=bindings)


def exchange_of(entry):
    return Exchange(entry["exchange"], type=entry.get("exchange_type", "direct"))


class Channel:
    """A broadcast queue, and a Python client that sends to it."""

    def __init__(self, redis):
        self.redis = redis
        self.queue = f"news-{uuid()[:8]}"
        self.settings = {"task_queues": [{"name": self.queue, "exchange_type": "fanout"}]}
        self.app = Celery("news", broker=redis.url, backend=redis.url, set_as_current=False)
        self.app.conf.task_queues = queues(self.settings["task_queues"])

    def send(self, value, declared, **options):
        """Sends a task; a producer need not have declared the exchange."""
        with self.app.connection_for_write() as connection:
            channel = connection.default_channel
            if declared:
                self.app.amqp.queues[self.queue].exchange.bind(channel).declare()
            return self.app.send_task(
                full_name("identity"), [value], queue=self.queue,
                producer=self.app.amqp.Producer(channel), **options)

    def bound(self):
        """The workers' own queues."""
        members = self.redis.client.smembers(f"_kombu.binding.{self.queue}")
        return [member.split("\x06\x16")[2] for member in members]

    def left(self):
        """All that is in Redis of it."""
        bound = self.redis.client.keys(f"_kombu.binding*.{self.queue}")
        notes = self.redis.client.keys("celeriac.broadcasts:*")
        return bound + notes + self.redis.client.keys("bcast.*")


def runs(worker, task_id):
    """How often a worker has begun a task."""
    return worker.log.read_text().count(f"[{task_id}] received")
