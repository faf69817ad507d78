"""Results under the prefix that a fleet shares, and for how long they live."""

from contextlib import contextmanager

import pytest
from celery import chord, group, uuid

from conftest import client
from support.lane import Lane
from support.waiting import until
from support.workers import python_worker, rust_worker
from support.workflows import Tasks

KINDS = [python_worker, rust_worker]


@contextmanager
def working(kind, redis, directory, **settings):
    """The lane of a worker with these settings, and of a client that has them, too."""
    app = client(redis)
    app.conf.update(settings)
    lane = Lane(app, redis, f"prefix-{uuid()[:8]}")
    worker = kind(redis, redis, directory, f"{kind.__name__}-{lane.queue}", [lane.queue],
                  settings=settings)
    try:
        yield lane
    finally:
        worker.stop()


def options(prefix):
    return {"result_backend_transport_options": {"global_keyprefix": prefix}}


def keys(redis, id):
    return redis.client.keys(f"*{id}*")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix, begin", [("shop", "shop_"), ("shop:", "shop:")])
def test_results_lie_under_the_prefix_that_a_fleet_shares(redis, tmp_path, kind, prefix, begin):
    with working(kind, redis, tmp_path, **options(prefix)) as lane:
        # The client subscribes to the channel before it looks at the key.
        result = lane.send("add", 1, 2)
        assert result.get(timeout=20) == 3
        assert keys(redis, result.id) == [f"{begin}celery-task-meta-{result.id}"]

        tasks = Tasks(lane.app, queue=lane.queue)
        body = chord([tasks.add(1, 1), tasks.add(2, 2)], tasks.tsum()).apply_async()
        assert body.get(timeout=20) == 6
        left = tasks.add(1, 1), tasks.add(2, 2, queue="nobody's")
        header = chord(left, tasks.tsum()).apply_async().parent
        counted = [f"{begin}celery-taskset-meta-{header.id}{end}" for end in (".j", ".s")]
        until(lambda: set(counted) <= set(keys(redis, header.id)), "one member is counted")
        assert all(key.startswith(begin) for key in keys(redis, header.id))


def test_a_chord_may_be_counted_by_workers_of_both_kinds(redis, tmp_path):
    shared = options("both")
    with (working(rust_worker, redis, tmp_path, **shared) as rust,
          working(python_worker, redis, tmp_path, **shared) as python):
        tasks = Tasks(rust.app)
        for first, second in [(rust, python), (python, rust)]:
            members = [tasks.add(1, 1, queue=lane.queue) for lane in (rust, python) * 3]
            body = chord(members, tasks.tsum(queue=first.queue)).apply_async()
            assert body.get(timeout=20) == 12
            saved = group(tasks.add(1, n, queue=second.queue) for n in range(2)).apply_async()
            saved.save()
            assert rust.app.GroupResult.restore(saved.id).get(timeout=20) == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_failures_may_live_for_another_while(redis, tmp_path, kind):
    lives = {"result_expires": 5000, "result_failure_expires": 70}
    with working(kind, redis, tmp_path, **lives) as lane:
        good, bad = lane.send("add", 1, 2), lane.send("add", 1, None)
        assert good.get(timeout=20) == 3
        assert isinstance(bad.get(timeout=20, propagate=False), TypeError)
        seconds = [redis.client.ttl(f"celery-task-meta-{result.id}") for result in (good, bad)]
        assert 4900 < seconds[0] <= 5000 and 50 < seconds[1] <= 70


#: Names of the broker's that a fleet may have chosen.
NAMES = {"unacked_key": "kept", "unacked_index_key": "kept-times", "unacked_mutex_key": "kept-lock"}


@pytest.mark.parametrize("fanout", [
    {"fanout_prefix": False},
    {"fanout_prefix": "/shop{db}.", "fanout_patterns": False},
])
def test_a_fleet_may_name_the_brokers_keys_and_channels(redis, tmp_path, fanout):
    shared = {"broker_transport_options": {**NAMES, **fanout}}
    with (working(rust_worker, redis, tmp_path, **shared) as rust,
          working(python_worker, redis, tmp_path, **shared) as python):
        assert rust.send("add", 1, 2).get(timeout=20) == 3
        held = rust.apply("add", (1, 2), {}, countdown=60)
        until(lambda: str(held.id) in str(redis.client.hvals("kept")), "it is held under that name")
        assert redis.client.zcard("kept-times") >= 1
        # By the channels.
        until(lambda: len(rust.app.control.ping(timeout=1)) == 2, "both answer")
        assert python.send("add", 1, 2).get(timeout=20) == 3
