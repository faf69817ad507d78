"""What any supported client must see; run under Celery 5.7 and 5.3."""

import pytest
from celery.exceptions import TaskRevokedError

from support.suite import ExpectedException

pytestmark = pytest.mark.basic


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((2, 3), {}, 5),
        ((2,), {"y": 3}, 5),
        ((), {"x": 2, "y": 3, "z": 4}, 9),
        ((0.5, 1), {}, 1.5),
        (("hé", "llo"), {}, "héllo"),
        (([1], [2]), {}, [1, 2]),
    ],
)
def test_a_result_for_every_way_of_passing_arguments(rust, args, kwargs, expected):
    result = rust.apply("add", args, kwargs)
    assert result.get(timeout=10) == expected
    assert result.state == "SUCCESS"


def test_an_exception_is_raised_as_its_python_class(rust):
    result = rust.send("raise_error")
    with pytest.raises(ValueError, match="^deliberate error$"):
        result.get(timeout=10)
    assert result.state == "FAILURE"
    assert result.traceback.startswith("Traceback (most recent call last):\n")
    assert result.traceback.rstrip().endswith("ValueError: deliberate error")


def test_an_exception_of_the_applications_own(rust):
    with pytest.raises(ExpectedException) as raised:
        rust.call("fail", 1, "two")
    assert raised.value.args == ("Task expected to fail", 1, "two")


def test_a_retry(rust):
    assert rust.call("retry_once") == 1


def test_an_expired_task_is_revoked(rust):
    with pytest.raises(TaskRevokedError):
        rust.apply("identity", [1], expires=-1).get(timeout=10)


def test_a_countdown(rust):
    assert rust.apply("identity", ["later"], countdown=0.3).get(timeout=10) == "later"


def test_what_result_extended_adds(rust):
    result = rust.apply("add", (1,), {"y": 2})
    result.get(timeout=10)
    assert result.name == "t.integration.tasks.add"
    assert list(result.args) == [1]
    assert result.kwargs == {"y": 2}
    assert result.queue == rust.queue
    assert result.retries == 0
    assert result.worker.endswith("@test")
