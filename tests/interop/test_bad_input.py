"""What cannot be run is refused in Celery's words, kept, and stops nobody."""

import base64
import json

import pytest
from celery import chord, uuid
from celery.exceptions import ChordError, NotRegistered, Reject
from kombu import Producer, Queue
from kombu.exceptions import DecodeError

from support.lane import Lane, full_name
from support.waiting import until
from support.workers import rust_worker

DEAD = "celeriac.dead_letter"


@pytest.fixture
def refused(redis, rust):
    """Waits for the one message that this test adds to the dead-letter list."""
    before = redis.client.llen(DEAD)

    def wait():
        until(lambda: redis.client.llen(DEAD) > before, "a dead letter")
        # The worker has gone on, and has let go of the message.
        assert rust.call("identity", "alive") == "alive"
        assert redis.client.llen(DEAD) == before + 1
        until(lambda: rust.held() == 0, "the message is settled")
        return json.loads(redis.client.lindex(DEAD, 0))

    return wait


def message(rust, **changes):
    """A task message as Celery leaves it in the queue, changed."""
    idle = type(rust)(rust.app, rust.redis, f"idle-{rust.queue}")
    idle.send("identity", 1)
    envelope = json.loads(rust.redis.client.lpop(idle.queue))
    return {**envelope, **changes}


@pytest.mark.parametrize("garbage", ["", "garbage", "[1]", "{}", '{"body": 1}', "\x00", "9" * 500])
def test_garbage_is_kept_word_for_word(rust, refused, garbage):
    rust.redis.client.lpush(rust.queue, garbage)
    letter = refused()
    assert letter["reason"]
    assert letter["payload"] == garbage


def test_a_message_that_is_no_task(rust, refused):
    rust.redis.client.lpush(rust.queue, json.dumps(message(rust, headers={"other": 1})))
    assert "task" in refused()["reason"]


@pytest.mark.parametrize("body", ["%%%", "bm90IGpzb24=", "W10=", "eyJhIjogMX0="])
def test_an_undecodable_body_is_kept(rust, refused, body):
    raw = json.dumps(message(rust, body=body))
    rust.redis.client.lpush(rust.queue, raw)
    letter = refused()
    assert "body" in letter["reason"]
    assert letter["payload"] == raw


def test_what_only_python_has_is_kept(rust, refused):
    result = rust.send("identity", "\ud800")
    letter = refused()
    assert letter["reason"].startswith("cannot de")
    assert json.loads(letter["payload"])["headers"]["id"] == result.id
    with pytest.raises(DecodeError, match="hex escape"):
        result.get(timeout=5)


def test_pickle_is_refused(rust, refused):
    with rust.app.connection_for_write() as connection:
        Producer(connection).publish(
            ([1], {}, {}),
            serializer="pickle",
            headers={"task": "t.integration.tasks.identity", "id": "pickled"},
            routing_key=rust.queue,
            declare=[Queue(rust.queue)],
        )
    assert "application/x-python-serialize" in refused()["reason"]


def test_an_unknown_task_fails_and_is_kept(rust, refused):
    result = rust.send("no_such_task", 1)
    with pytest.raises(NotRegistered, match="t.integration.tasks.no_such_task"):
        result.get(timeout=10)
    letter = refused()
    assert json.loads(letter["payload"])["headers"]["id"] == result.id


def test_an_unknown_task_fails_all_that_waits_for_it(rust, refused):
    """Celery leaves the chord, the chain and the errback waiting for ever."""
    def call(name, *args):
        return rust.app.signature(full_name(name), args, queue=rust.queue)

    key = f"unknown-{uuid()}"
    told = call("redis_count", key).set(immutable=True)
    result = chord([call("add", 1, 1), call("nobody_knows")], call("tsum").on_error(told)).delay()
    error = result.get(timeout=10, propagate=False)
    assert isinstance(error, ChordError) and "raised NotRegistered(" in str(error)
    assert json.loads(refused()["payload"])["headers"]["task"].endswith("nobody_knows")
    until(lambda: rust.redis.client.get(key) == "1", "the body's errback is called")


def test_an_unknown_task_ends_its_chain(rust, refused):
    chain = rust.app.signature(full_name("nobody_knows"), queue=rust.queue) | rust.app.signature(
        full_name("add"), (1,), queue=rust.queue)
    with pytest.raises(NotRegistered):
        chain.delay().get(timeout=10)
    refused()


def test_wrong_arguments_fail_in_pythons_words(rust):
    with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'y'"):
        rust.call("add", 1)


def test_a_task_that_refuses_its_message_keeps_it(rust, refused):
    result = rust.send("interop.refuse")
    with pytest.raises(Reject):
        result.get(timeout=10)
    assert json.loads(refused()["payload"])["headers"]["id"] == result.id


def test_a_success_stays_when_its_message_comes_again(rust):
    result = rust.send("store_success_then_reject")
    assert result.get(timeout=10) == "first-pass"
    until(lambda: rust.waiting() == rust.held() == 0, "the second pass has ended")
    assert rust.meta(result)["result"] == "first-pass"


@pytest.mark.parametrize("damage, error", [
    ({"content-type": "application/x-python-serialize"}, "ContentDisallowed"),
    ({"body": base64.b64encode(b'[[1], {}').decode()}, "DecodeError"),
    ({"body": base64.b64encode(b'{"args": 1}').decode()}, "DecodeError"),
    ({"body": 1}, "DecodeError"),
    ({"properties": "\ud800"}, "DecodeError"),
])
def test_who_waits_for_what_cannot_be_read_hears_of_it(start, lane, redis, damage, error):
    """The body cannot be read, the headers can."""
    worker = start(rust_worker, lane)
    quiet = Lane(lane.app, redis, f"{lane.queue}-elsewhere")
    result = quiet.send("identity", 1)
    message = {**json.loads(redis.client.rpop(quiet.queue)), **damage}
    before = redis.client.llen(DEAD)
    redis.client.lpush(lane.queue, json.dumps(message))
    until(lambda: result.state == "FAILURE", "it has failed", 5)
    assert error in lane.meta(result)["result"]["exc_type"]
    until(lambda: redis.client.llen(DEAD) == before + 1, "it is kept")
    assert worker.running
