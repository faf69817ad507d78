"""Retries as the client watches them."""

import time

import pytest
from celery.exceptions import MaxRetriesExceededError, TimeoutError

from support.waiting import until
from support.suite import ExpectedException


def states(history):
    return [meta["status"] for meta in history]


def test_each_attempt_is_seen(rust):
    history = rust.history("retry_once", kwargs={"countdown": 0.3})
    assert states(history) == ["STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert [meta["retries"] for meta in history] == [0, 0, 1, 1]
    assert history[-1]["result"] == 1


def test_the_countdown_is_kept(rust):
    began = time.monotonic()
    assert rust.call("retry_once", countdown=1) == 1
    assert time.monotonic() - began >= 1


def test_the_last_attempt_raises_what_the_task_gave(rust):
    result = rust.send("interop.give_up", "enough", 1)
    with pytest.raises(ExpectedException, match="^enough$"):
        result.get(timeout=5)
    assert result.retries == 1


def test_the_last_attempt_says_so_if_the_task_gave_nothing(rust):
    with pytest.raises(MaxRetriesExceededError, match="Can't retry interop.give_up"):
        rust.call("interop.give_up", None, 0)


def test_a_retry_that_waits_can_be_watched(rust):
    options = {"countdown": 2, "max_retries": 1}
    result = rust.send("retry_unpickleable", "foo", "bar", retry_kwargs=options)
    until(lambda: result.state == "RETRY", "it waits", interval=0.05)
    assert "foo" in str(result.result)
    with pytest.raises(TimeoutError):
        result.get(timeout=0.3)
    with pytest.raises(Exception, match="foo"):
        result.get(timeout=5)
