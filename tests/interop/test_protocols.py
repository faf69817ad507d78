"""Messages that are not quite what today's Celery sends, and run all the same."""

import json

import pytest
from celery import Celery, uuid
from celery.utils.time import maybe_iso8601

from support.lane import Lane
from support.twins import compare
from support.waiting import until


class Edited(Lane):
    """A lane whose messages are changed before they lie in its queue."""

    def __init__(self, lane, edit, app=None):
        super().__init__(app or lane.app, lane.redis, lane.queue)
        self.edit = edit

    def apply(self, name, args=(), kwargs=None, **options):
        options["queue"] = f"edited-{uuid()}"
        result = super().apply(name, args, kwargs, **options)
        envelope = json.loads(self.redis.client.rpop(options["queue"]))
        self.edit(envelope)
        envelope["properties"]["delivery_info"]["routing_key"] = self.queue
        self.redis.client.lpush(self.queue, json.dumps(envelope))
        return result


@pytest.fixture(scope="session")
def old(redis):
    """A client of protocol 1."""
    app = Celery(broker=redis.url, backend=redis.url, set_as_current=False)
    app.conf.update(task_protocol=1, result_extended=True)
    return app


def as_sent(envelope):
    """No change."""


def hybrid(envelope):
    """The headers name the task as well."""
    envelope["headers"].update(
        task="t.integration.tasks.identity", id=envelope["properties"]["correlation_id"]
    )


@pytest.fixture
def twins(python, rust):
    """The same message to both kinds of workers."""

    def run(edit, name, args=(), kwargs=None, app=None, **options):
        lanes = (Edited(lane, edit, app) for lane in (python, rust))
        return compare(*lanes, name, args, kwargs, **options)

    return run


PROTOCOL_1 = {
    "success": ("identity", [{"a": [1, None]}]),
    "keyword": ("add", [1], {"y": 2}),
    "exception": ("fail", [1, "two", None]),
    "retry": ("retry_once",),
    "arguments missing": ("add",),
    "ids": ("collect_ids", [1, 2]),
    "time limits": (
        "return_request_time_limits", [], {}, {"time_limit": 60, "soft_time_limit": 45},
    ),
    "soft time limit": ("sleeping", [5], {}, {"soft_time_limit": 0.3}),
    "member of a group": ("identity", [1], {}, {"group_id": "g"}),
    "countdown": ("identity", [1], {}, {"countdown": 0.1}),
    "expired": ("identity", [1], {}, {"expires": -1}),
    "compressed": ("identity", [1], {}, {"compression": "zlib"}),
    "unknown task": (
        "no_such_task", [1], {},
        {"besides": ["name", "args", "kwargs", "worker", "retries", "queue"]},
    ),
}


@pytest.mark.parametrize("call", PROTOCOL_1.values(), ids=PROTOCOL_1.keys())
def test_protocol_1_is_run_as_by_python(twins, old, call):
    name, args, kwargs, options = (*call, *[(), {}, {}][len(call) - 1 :])
    twins(as_sent, name, args, kwargs, app=old, **options)


def test_the_hybrid_is_run_as_by_python(twins, old):
    twins(hybrid, "identity", [1], app=old)


def test_callbacks_of_protocol_1_are_called(rust, old):
    called = Lane(rust.app, rust.redis, f"called-{uuid()}")
    lane = Lane(old, rust.redis, rust.queue)
    link = rust.app.signature("t.integration.tasks.add", [1], queue=called.queue)
    link_error = rust.app.signature("t.integration.tasks.ids", queue=called.queue)
    lane.apply("identity", [2], link=link).get(timeout=10)
    until(called.waiting, "the callback is called")
    lane.apply("raise_error", link_error=link_error)
    until(lambda: called.waiting() == 2, "the errback is called")


def headers(**changes):
    def edit(envelope):
        envelope["headers"].update(changes)

    return edit


def properties(**changes):
    def edit(envelope):
        envelope["properties"].update(changes)

    return edit


def without(*names):
    def edit(envelope):
        for name in names:
            envelope["headers"].pop(name, None)

    return edit


ODD_HEADERS = {
    "no time limits": headers(timelimit=None),
    "no list of time limits": without("timelimit"),
    "an empty list of time limits": headers(timelimit=[]),
    "time limits as floats": headers(timelimit=[60.0, 45.5]),
    "retries a float": headers(retries=1.0),
    "group index a float": headers(group="g", group_index=1.0),
    "nesting a float": headers(replaced_task_nesting=0.0),
    "nothing but name and id": without(
        "lang", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit",
        "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
        "replaced_task_nesting", "stamped_headers", "stamps",
    ),
    "everything null": headers(
        lang=None, argsrepr=None, kwargsrepr=None, origin=None, ignore_result=None,
        replaced_task_nesting=None, stamps=None, root_id=None,
    ),
    "ignored by a number": headers(ignore_result=0),
    "no stamps": headers(stamps={}, stamped_headers=[]),
    "shadowed": headers(shadow="another.name"),
    "texts that are numbers": headers(argsrepr=5, kwargsrepr=5, origin=5),
    "a time limit in quotes": headers(timelimit=["5", None]),
    "a priority too high": properties(priority=300),
    "a priority below any": properties(priority=-1),
    "a priority that is a flag": properties(priority=True),
}


@pytest.mark.parametrize("edit", ODD_HEADERS.values(), ids=ODD_HEADERS.keys())
def test_odd_headers_are_taken_as_by_python(twins, edit):
    twins(edit, "identity", [1])


#: The past and the future, in what forms `maybe_iso8601` takes.
PAST = [
    "2001-02-03T04:05:06",
    "2001-02-03T04:05:06.7",
    "2001-02-03T04:05:06,789012",
    "2001-02-03 04:05:06Z",
    "20010203T040506Z",
    "20010203T0405+02",
    "2001-02-03T04:05-0230",
    "2001-02-03T04+00:00",
    "2001-02-03",
    "2001-02",
    "2001",
    "2001-W05-6T04:05:06",
    "2001-034",
    "2001-02-03T24:00",
]


@pytest.mark.parametrize("instant", PAST)
def test_an_instant_in_the_past_is_read(twins, instant):
    assert maybe_iso8601(instant)
    states = twins(headers(expires=instant), "identity", [1])
    assert states[-1]["status"] == "REVOKED"
    twins(headers(eta=instant), "identity", [1])


@pytest.mark.parametrize("instant", ["2999-01-02T03:04:05", "2999-01-02T03:04:05.6Z", "29990102"])
def test_an_instant_in_the_future_is_read(twins, instant):
    states = twins(headers(expires=instant), "identity", [1])
    assert states[-1]["status"] == "SUCCESS"


@pytest.mark.parametrize("instant", ["tomorrow", 5, "2001-02-30", "2001-02-03T25:00", [], "２００１"])
def test_what_is_no_instant_is_kept(redis, rust, instant):
    before = redis.client.llen("celeriac.dead_letter")
    result = Edited(rust, headers(eta=instant)).send("identity", 1)
    until(lambda: redis.client.llen("celeriac.dead_letter") > before, "a dead letter")
    assert result.id in redis.client.lindex("celeriac.dead_letter", 0)
    # Who waits for it is told.
    assert result.state == "FAILURE"


#: Python's worker stores the first as it came; an empty instant ends it.
@pytest.mark.parametrize("edit", [headers(retries=None), headers(eta=""), headers(expires="")])
def test_what_says_nothing_is_nothing(rust, edit):
    assert Edited(rust, edit).send("identity", 1).get(timeout=10) == 1


def test_a_retry_keeps_unknown_headers(twins):
    states = twins(headers(tenant={"a": 1}), "retry_once_headers")
    assert states[-1]["result"]["tenant"] == {"a": 1}
