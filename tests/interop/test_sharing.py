"""Python and Rust workers beside each other."""

import time
from collections import Counter

from kombu import Exchange, Queue

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


def test_kombus_sweep_leaves_the_binding_of_a_rust_worker_in_place(start, lane):
    """Since 5.7 kombu deletes a table of bindings when a queue in it has expired, unless
    another table lists one that does not."""
    start(rust_worker, lane)
    redis, table = lane.redis.client, f"_kombu.binding.{lane.queue}"
    with lane.app.connection_for_write() as connection:
        expiring = Queue(f"{lane.queue}-expiring", Exchange(lane.queue), "expiring", expires=60)
        channel = connection.default_channel
        expiring(channel).declare()
        assert redis.scard(table) == 2
        assert redis.zadd("_kombu.binding_deadlines", {lane.queue: 0}, xx=True, ch=True) == 1
        assert channel.sweep_bindings() == 1
        assert (lane.queue, "", lane.queue) in channel.get_table(lane.queue)
        # So a message that is sent by the exchange still arrives.
        result = lane.apply("add", (1, 2), exchange=lane.queue, routing_key=lane.queue, queue=None)
        assert result.get(timeout=10) == 3
