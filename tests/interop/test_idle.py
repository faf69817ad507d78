"""An idle worker costs nothing and wakes at once."""

import statistics
import time

from celery import uuid

from support.workers import rust_worker


def wake_up(lane):
    """Seconds from publishing a task to its result."""
    id = uuid()
    with lane.redis.client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(f"celery-task-meta-{id}")
        channel.get_message(timeout=1)
        time.sleep(0.1)  # so that the worker is idle, whatever went before
        began = time.perf_counter()
        lane.apply("identity", [1], task_id=id)
        while not (message := channel.get_message(timeout=5)) or b"SUCCESS" not in message["data"].encode():
            assert time.perf_counter() - began < 5
        return time.perf_counter() - began


def test_an_idle_worker_wakes_at_once(start, lane, report):
    worker = start(rust_worker, lane)
    times = sorted(wake_up(lane) for _ in range(20))
    report("wake-up, publish to result", f"median {times[10] * 1e3:.1f} ms, worst {times[-1] * 1e3:.1f} ms")
    assert statistics.median(times) < 0.5

    before = worker.cpu_seconds()
    time.sleep(3)
    share = (worker.cpu_seconds() - before) / 3
    report("idle worker", f"{share:.1%} of a core")
    assert share < 0.1


def test_the_client_is_told_of_a_result_without_asking(rust):
    """`get()` is answered by pub/sub; asking would take it half a second."""
    times = []
    for n in range(10):
        began = time.perf_counter()
        rust.call("identity", n)
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.25
