"""Numbers, keys and texts arrive as they were sent, or fail where they are sent."""

import decimal
import math
import uuid

import pytest
from celery import Celery, chord, group
from kombu.exceptions import EncodeError

from support.lane import Lane
from support.rust_client import RustClient
from support.workers import python_worker, rust_worker
from support.workflows import Tasks

NUMBERS = [
    math.inf, -math.inf, math.nan, -0.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308,
    0.1 + 0.2, 2**53 + 1, 2**63 - 1, -2**63, 2**63, 2**64 - 1, 2**64, -2**63 - 1, 2**70,
    -2**70, 2**200, 12345678901234567890123456789.5,
]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_number_comes_back(rust, number):
    returned = rust.call("identity", {"in": [number]})["in"][0]
    assert type(returned) is type(number) and repr(returned) == repr(number)


def test_what_is_computed_is_what_python_computes(python, rust):
    for name, args in [("mul", (1e308, 10)), ("mul", (-1e308, 10)), ("mul", (math.inf, 0)),
                       ("add", (2**63, 2**63)), ("mul", (2**62, 4)), ("add", (math.inf, 1))]:
        assert repr(rust.call(name, *args)) == repr(python.call(name, *args))


def test_infinity_goes_through_a_chain_a_group_and_a_chord(rust):
    tasks = Tasks(rust.app, queue=rust.queue)
    chain = tasks.mul(1e308, 10) | tasks.add(1) | tasks.identity()
    assert chain.apply_async().get(timeout=15) == math.inf
    assert group(tasks.mul(1e308, 10), tasks.identity(2**70)).apply_async().get(
        timeout=15) == [math.inf, 2**70]
    header = [tasks.mul(1e308, 10), tasks.identity(2**70)]
    assert chord(header)(tasks.identity()).get(timeout=15) == [math.inf, 2**70]


def speaking(lane, start, serializer):
    """The lane of a client and a worker that know nothing but this serializer."""
    formats = {"task_serializer": serializer, "result_serializer": serializer,
               "accept_content": [serializer]}
    app = Celery(broker=lane.redis.url, backend=lane.redis.url, set_as_current=False)
    app.conf.update(formats)
    own = Lane(app, lane.redis, lane.queue)
    start(rust_worker, own, settings=formats)
    return own


@pytest.mark.parametrize("serializer", ["msgpack", "yaml"])
def test_other_serializers_carry_what_they_have_a_type_for(start, lane, serializer):
    lane = speaking(lane, start, serializer)
    numbers = [math.inf, -math.inf, 2**64 - 1, -2**63, -0.0]
    numbers += [2**64, -2**70] if serializer == "yaml" else []
    assert repr(lane.call("identity", numbers)) == repr(numbers)


def test_msgpack_refuses_an_integer_that_it_has_no_type_for(start, lane):
    """As in Python, where the task ends with the same exception."""
    lane = speaking(lane, start, "msgpack")
    with pytest.raises(EncodeError, match="no integer as large"):
        lane.call("mul", 2**63, 2)


def test_keys_that_are_no_text_are_what_python_makes_of_them(python, rust):
    keys = {1: "a", 2.5: "b", True: "c", None: "d", -7: "e"}
    assert rust.call("identity", keys) == python.call("identity", keys)


def test_texts_come_back_to_the_last_character(rust):
    for text in ["\0", "a\0b", "\ufeff", "\u2028", "🦀", "NaN", "Infinity", "1" * 30, '"NaN, ']:
        assert rust.call("identity", [text]) == [text]


def test_values_with_a_type_keep_it_inside_of_what_is_passed_on(rust):
    tasks = Tasks(rust.app, queue=rust.queue)
    values = [uuid.uuid4(), decimal.Decimal("1.10"), b"\xff", math.inf]
    chain = tasks.identity(values) | tasks.identity() | tasks.identity()
    assert chain.apply_async().get(timeout=15) == values


def test_what_rust_sends_is_what_it_was_given(rust, python, redis, tmp_path):
    client = RustClient(tmp_path, redis.url, redis.url)
    try:
        for lane in (python, rust):
            tasks = Tasks(lane.app, queue=lane.queue)
            for number in (math.inf, -math.inf, 2**70, 2**64 - 1):
                result = client.send(tasks.identity([number]))
                assert client.ask("get", result=result) == [number]
    finally:
        client.stop()


def test_events_and_logs_name_them_as_python_does(start, lane):
    worker = start(rust_worker, lane)
    result = lane.send("identity", [math.inf, -math.inf, math.nan, 2**70])
    result.get(timeout=15)
    worker.wait_for_log(f"{result.id}] succeeded in")
    assert f"[inf, -inf, nan, {2**70}]" in worker.log.read_text()


def test_infinity_survives_a_retry_and_a_way_back_to_the_queue(start, lane):
    """Arguments, and headers of the user's own."""
    worker = start(rust_worker, lane)
    result = lane.apply("identity", [[math.inf, 2**70]], countdown=3,
                        headers={"x": math.inf, "y": 2**70})
    worker.wait_for_log(result.id)
    worker.stop()
    start(python_worker, lane)
    assert result.get(timeout=20) == [math.inf, 2**70]
