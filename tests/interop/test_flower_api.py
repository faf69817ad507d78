"""Flower's HTTP API and its metrics: a Rust worker is seen and steered as a Python one."""

import re
import urllib.error

import pytest

from support.waiting import until
from support.workers import rust_worker

IDENTITY = "t.integration.tasks.identity"

#: Left out of a comparison: different for each task, or for each worker.
OWN = {"uuid", "worker", "clock", "root", "root_id", "timestamp", "received", "sent", "started",
       "succeeded", "failed", "revoked", "runtime", "traceback"}


def answer(flower, path, body=None):
    """The status and the text of an answer."""
    try:
        return 200, flower.post(path, body)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


STEERING = [
    (200, "worker/pool/grow/{node}?n=1"),
    (200, "worker/pool/shrink/{node}?n=1"),
    (403, "worker/pool/restart/{node}"),  # worker_pool_restarts is off
    (403, "worker/pool/autoscale/{node}?min=1&max=3"),  # no --autoscale
    (200, "worker/queue/add-consumer/{node}?queue=flowers"),
    (200, "worker/queue/cancel-consumer/{node}?queue=flowers"),
    (200, f"task/rate-limit/{IDENTITY}?workername={{node}}&ratelimit=100/s"),
    (403, f"task/rate-limit/{IDENTITY}?workername={{node}}&ratelimit=none"),
    (200, f"task/timeout/{IDENTITY}?workername={{node}}&soft=50&hard=60"),
    (200, "task/revoke/unknown?terminate=true"),
]


@pytest.mark.parametrize("status, path", STEERING)
def test_a_command_is_answered_as_by_python(fleet, status, path):
    theirs, ours = (
        answer(fleet.flower, f"/api/{path.format(node=member.node)}") for member in fleet.twins
    )
    assert str(ours).replace(fleet.rust.node, fleet.python.node) == str(theirs)
    assert ours[0] == status


def test_tasks_are_applied(fleet):
    for member in fleet.members:
        body = {"args": [2], "kwargs": {"y": 3}, "queue": member.lane.queue}
        applied = fleet.flower.post("/api/task/apply/t.integration.tasks.add", body)
        assert (applied["state"], applied["result"]) == ("SUCCESS", 5)
        for way in ("async-apply", "send-task"):
            sent = fleet.flower.post(f"/api/task/{way}/t.integration.tasks.add", body)

            def result():
                answer = fleet.flower.get(f"/api/task/result/{sent['task-id']}")
                return answer if answer["state"] == "SUCCESS" else None

            assert until(result, f"{way} has a result")["result"] == 5


def test_what_is_known_of_tasks_is_the_same(fleet):
    def told(member, name, *args):
        result = member.lane.send(name, *args)

        def ended():
            task = fleet.flower.task(result)
            return task if task["state"] in ("SUCCESS", "FAILURE") else None

        task = fleet.flower.shows(ended, "it has ended")
        shown = {name: value for name, value in task.items() if name not in OWN}
        return shown, task.keys(), {name for name in OWN if task.get(name) is not None}

    for name, args in [("add", (1, 2)), ("fail", ("x",))]:
        theirs, ours = (told(member, name, *args) for member in fleet.twins)
        assert ours == theirs


def test_the_metrics_count_what_each_worker_does(fleet):
    def counted(member):
        """The figures of one kind of task on one worker, without those that are times."""
        labels = re.compile(rf'^(flower_\w+)\{{(.*worker="{member.node}".*)\}} (\S+)$', re.MULTILINE)
        return {
            (name, label.replace(member.node, "NODE")): float(value)
            for name, label, value in labels.findall(fleet.flower.request("/metrics"))
            if 'task="t.integration.tasks.xsum"' in label
            and not name.endswith(("_sum", "_created", "_bucket", "time_seconds"))
        }

    def grown(member):
        before = counted(member)
        results = [member.lane.send("xsum", [n, [n]]) for n in range(4)]
        results.append(member.lane.send("xsum", "not a list of numbers"))
        for result in results:
            result.get(timeout=10, propagate=False)

        def after():
            now = {key: value - before.get(key, 0) for key, value in counted(member).items()}
            told = sum(value for (name, _), value in now.items() if name == "flower_events_total")
            return now if told == 3 * len(results) else None

        return fleet.flower.shows(after, "every event is counted")

    theirs, ours, scaled = map(grown, fleet.members)
    assert ours == theirs and scaled == theirs
    events = {re.search('type="(.*?)"', label)[1]: value
              for (name, label), value in ours.items() if name == "flower_events_total"}
    assert events == {"task-received": 5, "task-started": 5, "task-succeeded": 4, "task-failed": 1}


def test_the_metrics_tell_who_is_online(fleet):
    metrics = fleet.flower.request("/metrics")
    for member in fleet.members:
        assert f'flower_worker_online{{worker="{member.node}"}} 1.0' in metrics


def test_a_worker_is_shut_down(fleet, tmp_path):
    node = "leaving@test"
    worker = rust_worker(fleet.redis, fleet.redis, tmp_path, "leaving", ["leaving-queue"])
    try:
        fleet.flower.shows(lambda: fleet.flower.row(node), "it is online")
        # Flower takes commands for those whom it has inspected.
        assert node in fleet.flower.get(f"/api/workers?refresh=1&workername={node}")
        fleet.flower.post(f"/api/worker/shutdown/{node}")
        assert worker.wait(timeout=10) == 0
        fleet.flower.shows(lambda: not fleet.flower.row(node), "it is offline")
    finally:
        worker.stop()
