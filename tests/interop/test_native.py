"""`#[celeriac::task]` functions, seen from Python."""

import re

import pytest
from celery.exceptions import TimeLimitExceeded

from support.twins import compare


def test_arguments_by_place_by_name_and_left_out(rust):
    assert rust.call("native.add", 1, 2) == 3
    assert rust.call("native.add", 1, y=2, z=3) == 6
    assert rust.call("native.greet", "Ada") == "Hello, Ada"
    greeting = rust.apply("native.greet", kwargs={"name": "Ada", "greeting": "Hi"})
    assert greeting.get(timeout=10) == "Hi, Ada"
    assert rust.call("native.total", 1, 2, factor=10, c=3) == 60
    assert rust.call("native.total") == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([1], r"add\(\) missing 1 required positional argument: 'y'"),
        ([1, 2, 3, 4], r"add\(\) takes from 2 to 3 positional arguments but 4 were given"),
        ([1, "two"], "argument 'y': invalid type"),
    ],
)
def test_wrong_arguments(rust, args, text):
    with pytest.raises(TypeError, match=text):
        rust.call("native.add", *args)


def test_typed_calls_from_within_a_task(rust):
    """((4 + 1 + 10) * 2), and then, without it, (4 + 0 + 5) * 2."""
    assert rust.call("native.flow", 4, rust.queue) == 18


def test_a_function_that_blocks_knows_its_task(rust):
    result = rust.send("native.block", 0.1)
    assert result.get(timeout=10) == result.id


def test_functions_that_block_hold_up_nothing(rust):
    """More of them than the runtime has threads."""
    blocking = [rust.send("native.block", 1) for _ in range(6)]
    other = rust.send("native.double", 1)
    assert [result.get(timeout=10) for result in blocking] == [result.id for result in blocking]
    assert other.get(timeout=10) == 2
    assert other.date_done < min(result.date_done for result in blocking)


def test_the_hard_limit_does_not_wait_for_a_function_that_blocks(rust):
    result = rust.apply("native.block", [2], time_limit=0.3)
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=10)


def test_a_rate_limit_of_the_task_holds_as_in_python(python, rust):
    """A bound of the time from below: it may not be faster."""
    results = [[lane.send("native.slow", n) for n in range(21)] for lane in (python, rust)]
    for lane in results:
        assert [result.get(timeout=10) for result in lane] == list(range(21))
        ended = [result.date_done for result in lane]
        assert (max(ended) - min(ended)).total_seconds() > 1.8


def test_shared_state(rust):
    rust.call("native.echo", "native-echo", "here")
    assert rust.redis.client.lpop("native-echo") == "here"


@pytest.mark.parametrize(
    ("times", "exception"),
    [(1, "OSError"), (2, "ConnectionResetError"), (3, "TimeoutError"),
     (1, "FileNotFoundError"), (1, "ValueError")],
)
def test_autoretry_for_does_what_python_does(python, rust, times, exception):
    compare(python, rust, "native.flaky", [times, exception])


def test_autoretry_for_a_class_of_the_application(rust):
    assert rust.call("native.flaky", 2, "app.errors.Busy") == 2


def test_retry_backoff_names_the_pause_that_python_names(python, rust):
    def pauses(lane):
        history = lane.history("native.patient")
        retries = [meta["traceback"] for meta in history if meta["status"] == "RETRY"]
        return [re.search(r"Retry in (\w+)", text).group(1) for text in retries]

    assert pauses(rust) == pauses(python) == ["1s", "2s"]
