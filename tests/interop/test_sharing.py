"""Python and Rust workers beside each other."""

import time
from collections import Counter

from support.workers import python_worker, rust_worker

TASKS = 2000


def test_each_calls_the_other(rust, python):
    for one, other in [(rust, python), (python, rust)]:
        assert one.call("interop.relay", "t.integration.tasks.mul", [6, 7], other.queue) == 42


def test_one_queue_for_both_loses_and_doubles_nothing(start, lane, redis, report):
    start(python_worker, lane, concurrency=2)
    start(rust_worker, lane, concurrency=2)
    key = f"shared-{lane.queue}"
    began = time.monotonic()
    results = [lane.apply("redis_echo", [n, key]) for n in range(TASKS)]
    for result in results:
        result.get(timeout=40)
    took = time.monotonic() - began
    assert Counter(map(int, redis.client.lrange(key, 0, -1))) == Counter(range(TASKS))
    assert lane.waiting() == 0
    share = Counter(lane.meta(result)["worker"].split("_")[0] for result in results)
    assert share["python"] > 0 and share["rust"] > 0
    report("shared queue", f"{TASKS} tasks in {took:.1f} s, {dict(share)}")
