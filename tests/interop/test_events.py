"""What monitors see is what they see of a Python worker."""

import json
import time

import pytest
from celery import chord, group, uuid

from support.lane import Lane
from support.monitor import comparable, monitoring, same
from support.waiting import until
from support.workers import python_worker, rust_worker
from support.workflows import Tasks, linked

EVENTS = {"worker_send_task_events": True}
LAST = {"task-succeeded", "task-failed", "task-revoked"}


@pytest.fixture(scope="module")
def monitor(app):
    with monitoring(app) as monitor:
        yield monitor


@pytest.fixture(scope="module")
def telling(app, redis, tmp_path_factory):
    """A Python and a Rust worker that tell what becomes of their tasks."""
    directory = tmp_path_factory.mktemp("telling")
    lanes = [Lane(app, redis, f"telling-{uuid()[:8]}") for _ in range(2)]
    names = ["telling-python", "telling-rust"]
    workers = [
        kind(redis, redis, directory, name, [lane.queue],
             settings={**EVENTS, "task_default_queue": lane.queue})
        for kind, name, lane in zip((python_worker, rust_worker), names, lanes)
    ]
    try:
        for worker, lane in zip(workers, lanes):
            worker.wait_for_log("ready.")
            lane.node = f"{worker.name}@test"
        yield lanes
    finally:
        for worker in workers:
            worker.stop()


def ended(monitor, lane, id, count=1):
    """The worker's events about a task that ends `count` times."""

    def all_told():
        events = [event for event in monitor.of_task(id) if event["hostname"] == lane.node]
        ends = [event for event in events if event["type"] in LAST]
        return events if len(ends) >= count else None

    return settled(until(all_told, "the end is told"))


def settled(events):
    """In the order in which they came."""
    # In Python a retry's message may be received before the retry is told of.
    retried = any(event["type"] == "task-retried" for event in events)
    return sorted(events, key=lambda event: event["type"]) if retried else events


SCENARIOS = {
    "success": ("identity", [{"a": [1, None, "text"]}]),
    "keyword": ("add", [1], {"y": 2}),
    "nothing returned": ("sleeping", [0]),
    "builtin exception": ("raise_error",),
    "own exception": ("fail", [1, "two"]),
    "retry": ("retry_once_priority",),
    "retries exhausted": ("interop.give_up", ("enough", 1)),
    "retries exhausted, no reason given": ("interop.give_up", (None, 0)),
    "rejected, then run": ("reject_then_succeed",),
    "rejected, not to run again": ("reject_without_requeue",),
    "argument missing": ("add", [1]),
    "unknown task": ("no_such_task", [1]),
    "expired": ("identity", [1], {}, {"expires": -1}),
    "eta and expires": ("identity", [1], {}, {"countdown": 0.2, "expires": 60}),
    "soft time limit": ("sleeping", [5], {}, {"soft_time_limit": 0.3}),
    "shadow": ("identity", [1], {}, {"shadow": "another name"}),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_told_as_by_python(telling, monitor, scenario):
    name, args, kwargs, options = (*scenario, *([], {}, {})[len(scenario) - 1 :])
    told = []
    for lane in telling:
        result = lane.apply(name, args, kwargs, **options)
        told.append([comparable(event) for event in ended(monitor, lane, result.id)])
    same(*told)


def test_a_hard_time_limit_is_told_of_as_by_python(telling, monitor):
    """Except that Python tells of it twice, the first time without its name."""
    told = []
    for lane in telling:
        result = lane.apply("sleeping", [5], time_limit=0.5)
        events = ended(monitor, lane, result.id)
        told.append(next(event for event in events if event["type"] == "task-failed"))
    theirs, ours = told
    assert list(ours) == list(theirs)
    assert ours["exception"] == "TimeLimitExceeded(0.5)"


#: Each with the number of its tasks.
WORKFLOWS = {
    "chain": (2, lambda t: t.add(1, 2) | t.add(3)),
    "chain that fails": (2, lambda t: t.add(1, 2) | t.fail() | t.mul(3)),
    "group": (2, lambda t: group(t.add(1, 2), t.mul(3, 4))),
    "chord": (3, lambda t: chord([t.add(1, 2), t.mul(3, 4)], t.tsum())),
    "header that fails": (2, lambda t: chord([t.add(1, 2), t.fail(3)], t.tsum())),
    "errback": (2, lambda t: linked(t.fail(1), link_error=[t.errback_old_style()])),
    "replaced": (1, lambda t: t.add_replaced(1, 2)),
}


@pytest.mark.parametrize("count, workflow", WORKFLOWS.values(), ids=WORKFLOWS.keys())
def test_a_workflow_is_told_of_as_by_python(telling, monitor, count, workflow):
    told = []
    for lane in telling:
        before = len(monitor.events)
        workflow(Tasks(lane.app, queue=lane.queue)).apply_async()

        def of_each_task():
            tasks = {}
            for event in monitor.events[before:]:
                if event["hostname"] == lane.node and "uuid" in event:
                    tasks.setdefault(event["uuid"], []).append(event)
            ends = [event for events in tasks.values() for event in events if event["type"] in LAST]
            return tasks.values() if len(ends) >= count else None

        tasks = until(of_each_task, "all ends are told")
        told.append(sorted([comparable(event) for event in events] for events in tasks))
    theirs, ours = told
    assert len(ours) == len(theirs) == count
    for their, our in zip(theirs, ours):
        same(their, our)


def test_of_an_ignored_task_no_end_is_told(telling, monitor):
    told = []
    for lane in telling:
        result = lane.send("interop.ignore", "SUCCESS")
        result.get(timeout=10)
        after = lane.send("identity", 1)
        ended(monitor, lane, after.id)
        told.append([comparable(event) for event in monitor.of_task(result.id)])
    same(*told)


@pytest.mark.parametrize("terminate", [False, True])
def test_a_revoked_task_is_told_of_as_by_python(telling, monitor, terminate):
    told = []
    for lane in telling:
        delay = {} if terminate else {"countdown": 3}
        result = lane.apply("sleeping", [30], **delay)
        begun = "task-started" if terminate else "task-received"
        until(lambda: begun in [e["type"] for e in monitor.of_task(result.id)], begun)
        lane.app.control.revoke(
            result.id, destination=[lane.node], terminate=terminate, signal="KILL"
        )
        told.append([comparable(event) for event in ended(monitor, lane, result.id)])
    same(*told)


def test_a_worker_comes_lives_and_goes_as_python_ones_do(monitor, start, lane):
    told = []
    for kind in (python_worker, rust_worker):
        worker = start(kind, lane)
        node = f"{worker.name}@test"
        until(lambda: monitor.of_worker(node, "worker-heartbeat"), "it lives")
        worker.stop()
        until(lambda: monitor.of_worker(node, "worker-offline"), "it goes")
        events = [dict(comparable(event)) for event in monitor.of_worker(node)]
        kinds = list(dict.fromkeys(event["type"] for event in events))
        told.append((kinds, [list(event) for event in events[:1] + events[-1:]]))
        mine = monitor.of_worker(node, "worker-heartbeat")[0]
        assert mine["freq"] == 2.0 and mine["active"] == 0
    assert told[1] == told[0]


def test_a_heartbeat_on_demand_says_what_pythons_says(telling, monitor):
    told = []
    for lane in telling:
        lane.app.control.heartbeat(destination=[lane.node])
        wanted = lambda: [e for e in monitor.of_worker(lane.node) if e.get("freq") == 5]
        told.append(list(until(wanted, "a heartbeat")[0]))
    assert told[1] == told[0]


def test_what_a_task_sends_is_told_as_by_python(app, redis, tmp_path, monitor):
    told = []
    for kind in (python_worker, rust_worker):
        lane = Lane(app, redis, f"sent-{uuid()[:8]}")
        name = f"sender-{kind.__name__}"
        worker = kind(redis, redis, tmp_path, name, [lane.queue], settings={"task_send_sent_event": True})
        try:
            worker.wait_for_log("ready.")
            lane.call("interop.relay", "t.integration.tasks.add", [1, 2], lane.queue)
            sent = lambda: [
                event for event in monitor.events
                if event["type"] == "task-sent" and event["queue"] == lane.queue
                and event["name"].endswith("add")
            ]
            (event,) = until(sent, "it is told")
            assert event["hostname"].startswith("gen")
            event["queue"] = event["routing_key"] = "<queue>"
            # The Python task hands on the list that it was given as it is.
            event["args"] = event["args"].strip("[()]")
            told.append([comparable(event)])
        finally:
            worker.stop()
    same(*told)


def test_events_are_switched_on_and_off(start, lane, monitor):
    worker = start(rust_worker, lane)
    node = f"{worker.name}@test"
    control = lane.app.control

    def ask(command):
        return control.broadcast(command, reply=True, destination=[node], timeout=5)[0][node]

    silent = lane.send("identity", 1)
    silent.get(timeout=5)
    assert ask("enable_events") == {"ok": "task events enabled"}
    assert ask("enable_events") == {"ok": "task events already enabled"}
    told = lane.send("identity", 2)
    until(lambda: len(monitor.of_task(told.id)) == 3, "received, started, succeeded")
    assert ask("disable_events") == {"ok": "task events disabled"}
    again = lane.send("identity", 3)
    again.get(timeout=5)
    heartbeats = len(monitor.of_worker(node))
    until(lambda: len(monitor.of_worker(node)) > heartbeats, "whatever was told is heard")
    assert not monitor.of_task(silent.id) and not monitor.of_task(again.id)


def test_events_of_tasks_come_in_batches(telling, redis):
    """As `task.multi`: many events in one message."""
    _, lane = telling
    with redis.client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.psubscribe("/0.celeryev/task.*")
        results = [lane.send("identity", n) for n in range(200)]
        for result in results:
            result.get(timeout=10)
        channels, deadline = set(), time.monotonic() + 1
        while time.monotonic() < deadline:
            message = channel.get_message(timeout=0.1)
            if message and json.loads(message["data"])["headers"]["hostname"] == lane.node:
                channels.add(message["channel"])
    assert channels == {"/0.celeryev/task.multi"}
