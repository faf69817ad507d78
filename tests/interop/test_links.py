"""What follows a task's end: the rest of its chain, callbacks and errbacks."""

import json

import pytest
from celery import chain, uuid

from support.lane import full_name
from support.waiting import until

pytestmark = pytest.mark.basic


@pytest.fixture
def echoed(redis):
    """A key where tasks leave marks, and what they have left."""
    key = f"echo-{uuid()}"
    return key, lambda: redis.client.lrange(key, 0, -1)


def signature(lane, name, *args, **options):
    return lane.app.signature(full_name(name), args, **{"queue": lane.queue, **options})


def test_a_chain_hands_each_result_on(rust):
    add = [signature(rust, "add", *args) for args in [(1, 2), (10,), (100,)]]
    last = chain(*add).apply_async()
    assert last.get(timeout=10) == 113
    assert (last.parent.get(timeout=5), last.parent.parent.get(timeout=5)) == (13, 3)
    first, second = rust.meta(last.parent.parent), rust.meta(last.parent)
    assert first["children"] == [[[last.parent.id, None], None]]
    assert second["parent_id"] == last.parent.parent.id


def test_a_chain_ends_where_it_fails(rust):
    last = chain(
        signature(rust, "add", 1, 2), signature(rust, "raise_error", immutable=True),
        signature(rust, "add", 3),
    ).apply_async()
    # Whoever waits for the last hears of it, too.
    for result in last.parent, last:
        with pytest.raises(ValueError, match="deliberate error"):
            result.get(timeout=10)


def test_a_callback_gets_the_result(rust, echoed):
    key, marks = echoed
    echo = signature(rust, "redis_echo", kwargs={"redis_key": key})
    rust.apply("identity", ("done",), link=echo)
    until(lambda: marks() == ["done"], "the callback")


def test_an_errback_gets_the_id_of_the_failed(rust, echoed):
    key, marks = echoed
    echo = signature(rust, "redis_echo", kwargs={"redis_key": key})
    failed = rust.apply("raise_error", link_error=echo)
    with pytest.raises(ValueError):
        failed.get(timeout=10)
    until(lambda: marks() == [failed.id], "the errback")


def test_what_a_callback_is_not_to_show_is_not_shown(python, rust):
    shown = {"argsrepr": "(<hidden>)", "kwargsrepr": "{<hidden>}", "origin": "nobody"}
    sent = []
    for lane in python, rust:
        idle = f"hidden-{uuid()}"
        link = signature(lane, "add", 1, **shown, correlation_id="own", delivery_mode=1)
        lane.apply("add", (1, 1), link=link.set(queue=idle))
        chain(signature(lane, "add", 1, 1), link).apply_async()
        until(lambda: lane.redis.client.llen(idle) == 2, "both are sent")
        for text in lane.redis.client.lrange(idle, 0, -1):
            message = json.loads(text)
            assert {name: message["headers"][name] for name in shown} == shown
            sent.append([message["properties"][n] for n in ("correlation_id", "delivery_mode")])
    assert sent == [["own", 1]] * 4


ODD_OPTIONS = [
    {"priority": -1},
    {"priority": 300},
    {"priority": 5.0},
    {"priority": True},
    {"ignore_result": 0},
    {"time_limit": "5"},
    {"shadow": 5},
    {"group_index": 1.0},
    {"retries": None},
]


@pytest.mark.parametrize("odd", ODD_OPTIONS, ids=str)
def test_an_odd_option_of_what_follows_costs_nothing(python, rust, odd):
    """Neither the task that it follows nor itself."""
    for lane in python, rust:
        step = signature(lane, "add", 2, **odd)
        last = chain(signature(lane, "add", 1, 1), step).apply_async()
        assert last.get(timeout=10) == 4
        linked = lane.apply("add", (1, 1), link=signature(lane, "add", 2, **odd))
        assert linked.get(timeout=10) == 2
        assert lane.app.AsyncResult(lane.meta(linked)["children"][0][0][0]).get(timeout=10) == 4


@pytest.mark.parametrize("immutable", [0, None, 1])
def test_a_callback_is_immutable_by_pythons_truth(python, rust, immutable):
    for lane in python, rust:
        link = {**signature(lane, "identity", "own"), "immutable": immutable}
        link["args"] = ["own"] if immutable else []
        linked = lane.apply("identity", ("given",), link=link)
        assert linked.get(timeout=10) == "given"
        called = lane.app.AsyncResult(lane.meta(linked)["children"][0][0][0])
        assert called.get(timeout=10) == ("own" if immutable else "given")
