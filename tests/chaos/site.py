"""A broker that may be harmed, workers that may be, and a truth that is not."""

import os
import signal
import time
from collections import Counter
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as Cut

from support.redis_server import RedisServer
from support.waiting import until
from support.workers import rust_worker

QUEUE = "chaos"
#: How long a test disturbs.
SECONDS = float(os.environ.get("CHAOS_SECONDS", 6))
#: Short times, so that much happens in few seconds.
QUICK = {
    "task_acks_late": True,
    "broker_transport_options": {"worker_lease": 3},
}


class Site:
    """`address` is where workers find the broker, if not at its own port."""

    def __init__(self, directory, truth, rng):
        self.directory = directory
        self.truth = truth
        self.rng = rng
        self.broker = RedisServer(directory, durable=True)
        self.address = self.broker
        self.app = Celery("chaos", broker=self.broker.url, backend=self.broker.url,
                          set_as_current=False)
        self.key = f"ran-{directory.name}"
        self.workers = []
        self.began = 0
        #: What must have run when all is over.
        self.expected = set()

    def close(self):
        for worker in self.workers:
            if worker.running:
                worker.signal(signal.SIGCONT)
                worker.kill()
        self.broker.process.signal(signal.SIGCONT)
        self.broker.stop()

    def worker(self, concurrency=4, settings=None, environment=None, options=()):
        """A worker more, which is ready."""
        self.began += 1
        with environment_of(environment or {}):
            worker = rust_worker(
                self.address, self.truth, self.directory, f"w{self.began}", [QUEUE],
                concurrency=concurrency, settings={**QUICK, **(settings or {})}, options=options)
        self.workers.append(worker)
        worker.wait_for_log("ready.", 30)
        return worker

    def alive(self):
        return [worker for worker in self.workers if worker.running]

    def tell(self, worker, command, **arguments):
        """A control command; the connection that it goes by may have been cut before."""
        for left in (1, 0):
            try:
                return self.app.control.broadcast(
                    command, arguments, [f"{worker.name}@test"], reply=True, timeout=1)
            except (OperationalError, Cut):
                assert left, "the broker does not answer"

    def ran(self):
        """How often each piece of work has run."""
        return Counter(self.truth.client.lrange(self.key, 0, -1))

    def left(self):
        """How many messages wait, and how many are held."""
        steps = [QUEUE] + [f"{QUEUE}\x06\x16{step}" for step in (3, 6, 9)]
        broker = self.broker.client
        return sum(map(broker.llen, steps)), broker.hlen("unacked")

    def rest(self, timeout=90):
        """Waits until all has run and nothing is left."""
        def over():
            missing = self.expected - set(self.ran())
            return (not missing and self.left() == (0, 0)) or None

        try:
            until(over, "all has run", timeout, interval=0.2)
        except AssertionError:
            waiting, held = self.left()
            missing = sorted(self.expected - set(self.ran()))
            raise AssertionError(
                f"{len(missing)} of {len(self.expected)} have not run: {missing[:12]}; "
                f"{waiting} wait, {held} are held") from None

    def verdict(self):
        """What ran more than once."""
        ran = self.ran()
        assert not self.expected - set(ran), "lost"
        return {mark: count for mark, count in ran.items() if count > 1}


def disturbing(seconds=None):
    """Turns for a disturbance, until the time is up."""
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    turn = 0
    while time.monotonic() < deadline:
        yield turn
        turn += 1


@contextmanager
def environment_of(variables):
    """The variables, for a process that is started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
