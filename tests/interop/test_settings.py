"""Settings mean to a Rust worker what they mean to a Python worker."""

import pytest
from celery import chain, chord, uuid

from conftest import client
from support.lane import Lane
from support.waiting import until
from support.workers import python_worker, rust_worker
from support.workflows import Tasks

#: So that one task after the other is taken, and run.
ONE_BY_ONE = {"worker_prefetch_multiplier": 1, "task_acks_late": True}


def letters(lane, *options):
    """Messages in each queue, with these options in turn; the order in which they run."""
    key = f"order-{lane.queue}"
    sent = [
        lane.apply("redis_echo", [f"{n}{name}", key], queue=lane.queue + name, **each)
        for n, each in enumerate(options) for name in lane.names
    ]

    def order():
        for result in sent:
            result.get(timeout=20)
        return lane.redis.client.lrange(key, 0, -1)

    return order


def priorities(lane):
    """A task of this priority, and what it sends; what both see."""
    tasks = Tasks(lane.app, queue=lane.queue)
    calls = chain(tasks.ids(1), tasks.return_priority())
    inheriting = chain(tasks.ids(1, priority=5), tasks.return_priority())
    results = [calls.apply_async(), inheriting.apply_async()]
    return lambda: [result.get(timeout=20) for result in results]


def kept(lane):
    """What is stored of what succeeds and fails, ignored or not."""
    sent = [
        lane.apply("raise_error", ignore_result=True),
        lane.apply("raise_error"),
        lane.apply("add_ignore_result", [1, 2]),
        lane.apply("add_ignore_result", [1, None]),
        lane.apply("add", [1, 2]),
    ]
    after = lane.apply("identity", [1], ignore_result=False)

    def states():
        until(lambda: after.state == "SUCCESS", "all have run", 20)
        return [(lane.meta(result) or {}).get("status") for result in sent]

    return states


def lifetimes(lane):
    """For how long Redis keeps a result and what is counted of a chord, roughly."""
    tasks = Tasks(lane.app, queue=lane.queue)
    result = lane.send("add", 1, 2)
    members = [tasks.add(1, 2), tasks.add(3, 4, queue="nobody's")]
    header = chord(members, tasks.tsum()).apply_async().parent

    def seconds():
        result.get(timeout=20)
        parts = f"celery-taskset-meta-{header.id}.j"
        until(lambda: lane.redis.client.exists(parts), "one member has ended")
        keys = [f"celery-task-meta-{result.id}", parts]
        return [round(lane.redis.client.ttl(key), -2) for key in keys]

    return seconds


def all_of(*parts):
    def sent(lane):
        asked = [part(lane) for part in parts]
        return lambda: [each() for each in asked]

    return sent


def annotated(lane):
    """What becomes of tasks whose options the configuration says."""
    limited = lane.send("sleeping", 30)
    ignored = lane.send("add", 1, 2)
    stored = lane.send("identity", 1)

    def ends():
        until(lambda: lane.meta(limited), "it has failed", 20)
        stored.get(timeout=20)
        return [lane.meta(limited)["result"]["exc_type"], lane.meta(ignored)]

    return ends


CASES = {
    "options of tasks": (
        {"task_annotations": [
            {"t.integration.tasks.sleeping": {"time_limit": 60}, "*": {"time_limit": 1}},
            {"t.integration.tasks.add": {"ignore_result": True}},
        ]},
        annotated,
    ),
    "errors kept all the same, results for a while, priorities inherited": (
        {"task_store_errors_even_if_ignored": True, "result_expires": 1000,
         "task_inherit_parent_priority": True},
        all_of(kept, lifetimes, priorities),
    ),
    "results ignored": ({"task_ignore_result": True}, kept),
    "results kept for ever, sorted queues, a default priority": (
        {"result_expires": 0, "task_default_priority": 7,
         "broker_transport_options": {"queue_order_strategy": "sorted"}},
        all_of(lambda lane: letters(lane, *[{}] * 3), lifetimes, priorities),
    ),
    "queues by their order, ten steps of priority": (
        {"broker_transport_options": {
            "queue_order_strategy": "priority", "priority_steps": list(range(10)), "sep": ":",
        }},
        lambda lane: letters(lane, *({"priority": n} for n in (9, 4, 0, 5, 1))),
    ),
}


@pytest.mark.parametrize("settings, send", CASES.values(), ids=CASES.keys())
def test_means_what_it_means_to_python(redis, tmp_path, settings, send):
    app = client(redis)
    # As in a fleet: who sends chords says how long they live.
    for name in ("broker_transport_options", "result_expires"):
        app.conf[name] = settings.get(name, app.conf[name])
    workers, asked = [], []
    for kind in (python_worker, rust_worker):
        lane = Lane(app, redis, f"set-{uuid()[:8]}")
        lane.names = ["", "b", "a"]
        # Before the worker comes, so that it chooses among all.
        asked.append(send(lane))
        queues = [lane.queue + name for name in lane.names]
        workers.append(kind(redis, redis, tmp_path, kind.__name__, queues, concurrency=1,
                            settings={**ONE_BY_ONE, **settings}))
    try:
        theirs, ours = [facts() for facts in asked]
    finally:
        for worker in workers:
            worker.stop()
    assert ours == theirs
