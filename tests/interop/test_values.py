"""Values come back as what they were."""

import datetime
import decimal
import uuid

import pytest

from celery.utils.saferepr import saferepr

from support.workers import rust_worker

VALUES = [
    None,
    True,
    -1,
    2**53 + 1,
    1e16,
    -0.0,
    1e-300,
    4.224755332595351e88,
    "snow ☃, κόσμε, 🦀, \x00 and \"quotes\"",
    {"nested": [{"empty": {}}, []]},
    datetime.datetime(2026, 1, 2, 3, 4, 5, 600),
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    datetime.date(2026, 1, 2),
    datetime.time(3, 4, 5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=0x4000_8000_0000_0000_0001),
    b"text",
    b"\xff\x00",
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back(rust, value):
    returned = rust.call("identity", value)
    assert returned == value
    assert type(returned) is type(value)


def test_values_are_read_and_written_by_their_types(rust):
    zone = datetime.timezone(datetime.timedelta(hours=-2, minutes=-30))
    day, step = datetime.timedelta(days=1), datetime.timedelta(microseconds=1)
    for moment in (datetime.datetime(2026, 2, 28, 23, 59, 58, 999999), datetime.datetime(1, 1, 1)):
        aware, time = moment.replace(tzinfo=zone), moment.replace(second=0)
        amount, number = decimal.Decimal("-1.10"), uuid.uuid4()
        values = [aware, moment, moment.date(), time.time(), amount, number, b"\xff\x00"]
        expected = [aware + day + step, moment + day + step, moment.date() + day,
                    (time + step).time(), amount.scaleb(1), uuid.UUID(int=number.int + 1),
                    b"\x00\xff"]
        returned = rust.call("interop.next", values)
        assert returned == expected
        assert list(map(type, returned)) == list(map(type, expected))


def test_instants_are_written_as_python_writes_them(rust, redis):
    """So that the `fromisoformat` of any Python reads them."""
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    values = [moment, moment.replace(tzinfo=None), moment.date(), moment.time(),
              decimal.Decimal(1), uuid.UUID(int=1), b""]
    result = rust.send("interop.next", values)
    aware, naive, _, time, *_ = result.get(timeout=10)
    stored = [value["__value__"] for value in rust.meta(result)["result"]]
    assert (stored[0], stored[1], stored[3]) == tuple(
        value.isoformat() for value in (aware, naive, time))


SHOWN = [
    "it's a \\ \"text\"",
    ["words " * 300, 1],
    {"deep": [[[[1]]]], "k'": None},
    list(range(500)),
    [1e16, 1e-7, b"bytes"],
]


def test_results_are_shown_as_celery_shows_them(start, lane):
    worker = start(rust_worker, lane)
    for value in SHOWN:
        result = lane.send("identity", value)
        assert result.get(timeout=10) == value
        worker.wait_for_log(f"{result.id}] succeeded in")
        line = next(line for line in worker.log.read_text().splitlines()
                    if f"{result.id}] succeeded in" in line)
        assert line.partition("s: ")[2] == saferepr(value, 1024)


def test_a_megabyte_comes_back(rust):
    value = "0123456789abcdef" * 65536
    assert rust.call("identity", value) == value


def test_unicode_is_logged_and_printed(rust):
    assert rust.call("print_unicode", "håå®ƒ", "hiöäüß") is None


def test_an_ignored_result_is_not_kept(rust):
    ignored = rust.send("add_ignore_result", 1, 2)
    ignored_by_the_client = rust.apply("add", [1, 2], ignore_result=True)
    # Both have been run when what was sent after them has, and all slots rest.
    rust.call("identity", "after")
    assert rust.apply("delayed_sum", [[1]], {"pause_time": 0.2}).get(timeout=10) == 1
    assert rust.meta(ignored) is None
    assert rust.meta(ignored_by_the_client) is None


def test_an_ignored_failure_is_not_kept(rust):
    failed = rust.apply("raise_error", ignore_result=True)
    assert rust.apply("delayed_sum", [[1]], {"pause_time": 0.2}).get(timeout=10) == 1
    assert rust.meta(failed) is None


def test_a_result_expires(rust):
    result = rust.send("identity", 1)
    result.get(timeout=10)
    assert 86_000 < rust.redis.client.ttl(f"celery-task-meta-{result.id}") <= 86_400
