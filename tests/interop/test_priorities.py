"""Messages of a higher priority are run first."""

from support.workers import rust_worker


def test_priorities_go_in_steps_and_each_step_in_order(start, lane, redis):
    key = f"order-{lane.queue}"
    priorities = [9, 6, 3, 0, 1, 4, 7, 8, 5, 2] * 3
    results = [
        lane.apply("redis_echo", [f"{n}", key], priority=priority)
        for n, priority in enumerate(priorities)
    ]
    start(rust_worker, lane, concurrency=1, settings={"worker_prefetch_multiplier": 1})
    for result in results:
        result.get(timeout=10)
    # kombu's steps: 0-2, 3-5, 6-8, 9.
    expected = sorted(range(len(priorities)), key=lambda n: priorities[n] // 3)
    assert [int(n) for n in redis.client.lrange(key, 0, -1)] == expected
