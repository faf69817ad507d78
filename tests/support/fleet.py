"""A Python worker and two Rust workers side by side, and the Flower that shows them."""

from celery import Celery

from .flower import OwnFlower
from .lane import Lane
from .redis_server import RedisServer
from .waiting import until
from .workers import python_worker, rust_worker


class Member:
    """A worker of the fleet and the queue that it alone serves."""

    def __init__(self, kind, redis, directory, name, **options):
        self.app = Celery(name, broker=redis.url, backend=redis.url, set_as_current=False)
        self.node = f"{name}@test"
        self.lane = Lane(self.app, redis, f"{name}-queue")
        self.worker = kind(redis, redis, directory, name, [self.lane.queue],
                           concurrency=2, **options)

    def status(self, result):
        return (self.lane.meta(result) or {}).get("status")

    def runs(self, seconds=600):
        """A task that has begun and lasts."""
        result = self.lane.send("sleeping", seconds)
        until(lambda: self.status(result) == "STARTED", "it runs")
        return result

    def occupied(self):
        """Every slot taken, so that the next task waits."""
        return [self.runs() for _ in range(2)]

    def end(self, *results):
        for result in results:
            self.app.control.terminate(result.id, destination=[self.node])
            until(lambda: self.status(result) == "REVOKED", "it is terminated")


class Fleet:
    def __init__(self, directory):
        self.redis = RedisServer(directory)
        told = {"settings": {"worker_send_task_events": True}}
        scaled = {"options": ["--autoscale", "2,1"]}
        self.python = Member(python_worker, self.redis, directory, "python", **told)
        self.rust = Member(rust_worker, self.redis, directory, "rust", **told)
        self.scaled = Member(rust_worker, self.redis, directory, "rust-scaled", **told, **scaled)
        self.members = [self.python, self.rust, self.scaled]
        #: Those who are alike but for their language.
        self.twins = [self.python, self.rust]
        self.flower = OwnFlower(self.redis, directory)

    def ready(self):
        for member in self.members:
            member.worker.wait_for_log("ready.", 30)
            self.flower.shows(lambda: self.flower.row(member.node), "Flower sees it")
        # It takes commands for those whom it has inspected; who answers too late
        # is not among them.
        until(self.inspected, "Flower has inspected all of them")
        return self

    def inspected(self):
        known = self.flower.get("/api/workers?refresh=1")
        return all(known.get(member.node, {}).get("registered") for member in self.members)

    def stop(self):
        self.flower.stop()
        for member in self.members:
            member.worker.kill()
        self.redis.stop()
