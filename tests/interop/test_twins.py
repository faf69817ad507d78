"""Every state that a task passes is stored exactly as a Python worker stores it."""

from datetime import datetime, timedelta, timezone

import pytest
from celery import uuid

from support.twins import compare
from support.waiting import until
from support.workflows import Tasks

SCENARIOS = {
    "success": ("identity", [{"a": [1, None]}]),
    "keyword": ("add", [1], {"y": 2}),
    "nothing returned": ("sleeping", [0]),
    "builtin exception": ("raise_error",),
    "own exception": ("fail", [1, "two", None]),
    "tuple": ("return_exception", ["e"]),
    "retry": ("retry_once",),
    "autoretry": ("auto_retry_class_task",),
    "retries exhausted": ("interop.give_up", ["enough", 1]),
    "retries exhausted, no reason given": ("interop.give_up", [None, 1]),
    "priority kept by a retry": ("retry_once_priority", [], {}, {"priority": 5}),
    "headers kept by a retry": ("retry_once_headers", [], {}, {"headers": {"x": 1}}),
    "rejected, then run": ("reject_then_succeed",),
    "rejected, not to run again": ("reject_without_requeue",),
    "ignored": ("interop.ignore", ["SUCCESS"]),
    "ids": ("collect_ids", [1, 2], {}, {"root_id": "r", "parent_id": "p"}),
    "priority": ("return_priority", [], {}, {"priority": 3}),
    "time limits known": (
        "return_request_time_limits", [], {}, {"time_limit": 60, "soft_time_limit": 45},
    ),
    "member of a group": ("identity", [1], {}, {"group_id": "g"}),
    "stamped": ("identity", [1], {}, {"stamped_headers": ["stamp"], "stamp": "value"}),
    "argument missing": ("add", [1]),
    "arguments missing": ("add",),
    "argument too many": ("mul", [1, 2, 3]),
    "argument unknown": ("mul", [1, 2], {"w": 3}),
    "argument twice": ("mul", [1, 2], {"x": 3}),
    "operands of the wrong type": ("mul", [None, 2]),
    "unknown task": (
        "no_such_task", [1], {"x": 2},
        {"besides": ["name", "args", "kwargs", "worker", "retries", "queue"]},
    ),
    "expired": ("identity", [1], {}, {"expires": -1}),
    "soft time limit": ("sleeping", [5], {}, {"soft_time_limit": 0.3}),
    "soft time limit, guarded": (
        "delayed_sum_with_soft_guard", [[1, 2]], {"pause_time": 5}, {"soft_time_limit": 0.3},
    ),
    "hard time limit": (
        "sleeping", [5], {}, {"time_limit": 0.5},
    ),
}


def same_on_both(python, rust, name, args=(), kwargs=None, options=None):
    return compare(python, rust, name, args, kwargs, **(options or {}))


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_stored_as_by_python(python, rust, scenario):
    assert same_on_both(python, rust, *scenario)


def test_a_retry_with_an_eta_waits_for_it_as_in_python(python, rust):
    eta = datetime.now(timezone.utc) + timedelta(seconds=1)
    states = compare(python, rust, "interop.retry_at", [eta.isoformat()])
    assert states[-1]["result"] == eta.isoformat()
    assert datetime.now(timezone.utc) >= eta


def test_a_late_failure_does_not_take_the_place_of_a_success(python, rust, redis):
    for lane in (python, rust):
        id = uuid()
        lane.app.backend.store_result(id, 1, "SUCCESS")
        # It counts under this id, after the failure would have been stored.
        errback = Tasks(lane.app, queue=lane.queue).errback_old_style()
        lane.apply("raise_error", task_id=id, link_error=errback)
        until(lambda: redis.client.get(id) == "1", "it has failed")
        assert lane.meta(lane.app.AsyncResult(id))["result"] == 1


def test_a_child_is_listed_as_by_python(python, rust):
    args = ["t.integration.tasks.add", [1, 2], python.queue]
    states = compare(python, rust, "interop.relay", args)
    assert states[-1]["result"] == 3
    assert states[-1]["children"]


def test_properties_are_those_that_python_sees(python, rust):
    theirs, ours = (lane.call("return_properties") for lane in (python, rust))
    # What kombu's Redis transport adds is nobody's but the transport's.
    assert ours.keys() == theirs.keys() - {"body_encoding", "delivery_tag"}
    assert ours["delivery_info"].keys() == theirs["delivery_info"].keys()
    own = {"correlation_id", "reply_to", "delivery_info"}
    assert {k: v for k, v in ours.items() if k not in own} == {
        k: theirs[k] for k in ours if k not in own
    }
