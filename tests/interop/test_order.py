"""With one slot, tasks run in the order in which they were sent."""

from celery import uuid

from support.workers import rust_worker


def test_one_slot_runs_tasks_in_order(start, lane, redis):
    key = f"order-{uuid()[:8]}"
    numbers = [str(n) for n in range(300)]
    results = [lane.apply("interop.record", [n, key]) for n in numbers]
    # They lie in the queue before the worker comes, so that it takes many at once.
    start(rust_worker, lane, concurrency=1, settings={"worker_prefetch_multiplier": 0})
    for result in results:
        result.get(timeout=20)
    assert redis.client.lrange(key, 0, -1) == numbers
