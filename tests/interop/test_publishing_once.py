"""What follows a task is sent once, although Redis answers too late to tell."""

import signal
import time
from collections import Counter

import pytest
from celery import chain, chord, group, uuid

from conftest import client
from support.lane import Lane
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import rust_worker

#: An answer is waited for for a second.
IMPATIENT = {
    "task_acks_late": True,
    "redis_socket_timeout": 1,
    "broker_transport_options": {"socket_timeout": 1, "worker_lease": 10},
}
MANY = 40


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own").mkdir()
    server = RedisServer(tmp_path / "own")
    yield Lane(client(server), server, "once")
    server.process.signal(signal.SIGCONT)
    server.stop()


def workflows(lane, key):
    """Chains, chords and callbacks; the marks that their steps leave, each once."""
    marks = []

    def step(mark):
        marks.append(mark)
        return lane.app.signature("interop.record", kwargs={"value": mark, "key": key, "pause": 0.02},
                                  immutable=True, options={"queue": lane.queue})

    flows = []
    for n in range(MANY):
        flows.append(chain([step(f"chain {n} {place}") for place in range(4)], app=lane.app))
        header = group([step(f"chord {n} {place}") for place in range(3)], app=lane.app)
        flows.append(chord(header, step(f"chord {n} body"), app=lane.app))
        linked = step(f"linked {n}")
        linked.link(step(f"callback {n} 0"))
        linked.link(step(f"callback {n} 1"))
        flows.append(linked)
    return flows, marks


def test_nothing_is_sent_twice_when_redis_hangs(own, redis, tmp_path):
    key = f"once-{uuid()}"
    flows, marks = workflows(own, key)
    worker = rust_worker(own.redis, redis, tmp_path, "sender", [own.queue], concurrency=8,
                         settings=IMPATIENT)
    ran = lambda: Counter(redis.client.lrange(key, 0, -1))
    try:
        own.call("add", 1, 1)
        for flow in flows:
            flow.apply_async()
        for part in range(1, 5):
            until(lambda: ran().total() > part * len(marks) / 8, "more has run", 30)
            own.redis.process.signal(signal.SIGSTOP)
            # Longer than an answer is waited for, and shorter than the lease.
            time.sleep(2.5)
            own.redis.process.signal(signal.SIGCONT)
        until(lambda: set(ran()) == set(marks) and own.held() == 0, "all has run", 60)
        assert {mark: count for mark, count in ran().items() if count > 1} == {}
        assert "trying again" in worker.log.read_text(), "nothing was tried twice"
    finally:
        worker.kill()
