"""`#[celery::task]` functions, seen from Python."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded


def test_arguments_by_place_by_name_and_left_out(rust):
    assert rust.call("rusty.add", 1, 2) == 3
    assert rust.call("rusty.add", x=1, y=2) == 3
    assert rust.call("rusty.greet", "Ada") == "Hello, Ada"
    assert rust.call("rusty.greet", "Ada", greeting="Hi") == "Hi, Ada"


@pytest.mark.parametrize(
    ("message", "raised"),
    [("KeyError: lost", KeyError("lost")), ("it broke", RuntimeError("it broke"))],
)
def test_an_error_names_its_python_class(rust, message, raised):
    with pytest.raises(type(raised)) as error:
        rust.call("rusty.fail", message)
    assert error.value.args == raised.args


def test_wrong_arguments(rust):
    with pytest.raises(TypeError):
        rust.call("rusty.add", 1, "two")
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        rust.call("rusty.add", 1, 2, 3)


def test_a_task_that_retries_itself(rust):
    history = rust.history("rusty.retry", [0])
    states = [meta["status"] for meta in history]
    assert states == ["STARTED", "RETRY"] * 2 + ["STARTED", "SUCCESS"]
    assert history[-1]["result"] == 2


def test_an_expected_error_is_retried(rust):
    assert rust.call("rusty.flaky", 2) == 2
    with pytest.raises(ConnectionError, match="attempt 2"):
        rust.call("rusty.flaky", 9)


def test_its_time_limit(rust):
    with pytest.raises(SoftTimeLimitExceeded):
        rust.call("rusty.sleep", 30)


def test_it_can_call_python(rust, python):
    assert rust.call("rusty.relay", "t.integration.tasks.mul", [6, 7], python.queue) == 42
    with pytest.raises(Exception, match="deliberate error"):
        rust.call("rusty.relay", "t.integration.tasks.raise_error", [], python.queue)


def test_it_can_send_as_rusty_celery_does(rust):
    sent = rust.call("rusty.send", 1, 2, rust.queue)
    assert rust.app.AsyncResult(sent).get(timeout=10) == 3
