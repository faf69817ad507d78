"""Every serializer and compression of kombu's, in both directions."""

import datetime
import json

import pytest
from celery import Celery, chain
from kombu.exceptions import DecodeError, EncodeError

from support.lane import Lane, full_name
from support.waiting import until
from support.workers import python_worker, rust_worker

SERIALIZERS = {
    "json": "application/json",
    "msgpack": "application/x-msgpack",
    "yaml": "application/x-yaml",
}
COMPRESSIONS = {
    "gzip": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "brotli": "application/x-brotli",
    "lzma": "application/x-lzma",
    "zstd": "application/zstd",
}
#: What every serializer carries.
VALUE = {
    "numbers": [0, -1, 2**64 - 1, -(2**63), 1.5, 1e-300, 1e300],
    "texts": ["", "no", "1:30", "2026-01-02", "~", "=", "\x00\x7f\x85\u2028\ufeff☃🦀\n"],
    "nothing": [None, True, False, [], {}],
    "k" * 3000: {"": 1, "yes": 2},
}
DEAD = "celeriac.dead_letter"
UTC = datetime.timezone.utc


def speaking(redis, serializer, **settings):
    """A Python client that writes and reads nothing else."""
    app = Celery(broker=redis.url, backend=redis.url, set_as_current=False)
    app.conf.update(formats(serializer), result_extended=True, **settings)
    return app


def formats(serializer):
    return {
        "task_serializer": serializer,
        "result_serializer": serializer,
        "accept_content": [serializer],
    }


@pytest.fixture(params=SERIALIZERS)
def spoken(request, redis, lane, start):
    """A lane of a Rust worker that speaks one serializer, to a client like it."""
    app = speaking(redis, request.param)
    lane = Lane(app, redis, lane.queue)
    lane.worker = start(rust_worker, lane, settings=formats(request.param))
    return lane


def test_values_failures_and_retries_cross(spoken):
    assert spoken.call("identity", VALUE) == VALUE
    assert spoken.call("retry_once") == 1
    with pytest.raises(ValueError, match="deliberate error"):
        spoken.call("raise_error")
    result = spoken.send("store_success_then_reject")
    assert result.get(timeout=10) == "first-pass"
    until(lambda: spoken.waiting() == spoken.held() == 0, "the second pass has ended")
    assert spoken.app.AsyncResult(result.id).result == "first-pass"


def test_remote_control_speaks_it_too(spoken, start):
    """Commands and answers, of a client and between a Python worker and ours."""
    serializer = spoken.app.conf.task_serializer
    control, id = spoken.app.control, f"revoked-{serializer}"
    nodes = [f"{spoken.worker.name}@test"]
    assert control.ping(nodes, timeout=5) == [{nodes[0]: {"ok": "pong"}}]
    answer = control.revoke(id, destination=nodes, reply=True, timeout=5)
    assert answer == [{nodes[0]: {"ok": f"tasks {{{id!r}}} flagged as revoked"}}]
    python = start(python_worker, spoken, settings=formats(serializer))
    # Told by our worker when it said hello.
    nodes = [f"{python.name}@test"]
    told = until(lambda: control.inspect(nodes, timeout=2).revoked(), "it answers")
    assert id in told[nodes[0]]
    rust = start(rust_worker, spoken, settings=formats(serializer))
    rust.wait_for_log("mingle: sync with")


def test_remote_control_accepts_what_messages_may_be(redis, rust):
    """As a Python worker's `accept_content` does."""
    app = speaking(redis, "msgpack")
    assert not app.control.ping(["rust_worker@test"], timeout=1)
    assert rust.app.control.ping(["rust_worker@test"], timeout=5)


TYPED = {
    "msgpack": [b"text", b"\xff\x00"],
    "yaml": [
        b"text",
        b"\xff\x00",
        datetime.date(2026, 1, 2),
        datetime.datetime(2026, 1, 2, 3, 4, 5),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=-2))),
        [[1, 2]] * 2,  # the same list twice: an alias
    ],
}


@pytest.mark.parametrize("spoken", TYPED, indirect=True)
def test_what_the_serializer_has_a_type_for_keeps_it(spoken):
    values = TYPED[spoken.app.conf.task_serializer]
    returned = spoken.call("identity", values)
    assert returned == values
    assert [type(value) for value in returned] == [type(value) for value in values]


@pytest.mark.parametrize("spoken", ["yaml"], indirect=True)
@pytest.mark.parametrize("value, reason", [({1: "a"}, "1 is no key"), ({"in": {True: 1}}, "true is no key"),
                                           ([{1, 2}], "a set")])
def test_what_only_python_has_fails_and_becomes_nothing_else(spoken, value, reason):
    with pytest.raises(DecodeError, match=reason):
        spoken.call("identity", value)


def test_a_result_that_the_serializer_has_no_type_for_fails(redis, lane, start):
    both = {"accept_content": ["json", "msgpack"]}
    app = speaking(redis, "msgpack", **both)
    lane = Lane(app, redis, lane.queue)
    start(rust_worker, lane, settings={**formats("msgpack"), **both})
    date = datetime.date(2026, 1, 2)
    with pytest.raises(EncodeError, match="date"):
        lane.apply("identity", [date], serializer="json").get(timeout=10)
    # Nor can the failure say it as it was.
    with pytest.raises(Exception, match="2026-01-02"):
        lane.apply("fail", [date], serializer="json").get(timeout=10)


def popped(lane):
    """The message that waits in a lane, as it lies there."""
    return until(lambda: lane.redis.client.rpop(lane.queue), "a message")


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_python_worker_runs_what_rust_sends(
    app, redis, rust, python_of_all, serializer, compression
):
    idle = Lane(app, redis, f"idle-{serializer}-{compression}")
    result = chain(
        app.signature(full_name("identity"), [VALUE], queue=rust.queue),
        app.signature(
            full_name("identity"), queue=idle.queue, serializer=serializer, compression=compression
        ),
    ).apply_async()
    sent = popped(idle)
    envelope = json.loads(sent)
    assert envelope["content-type"] == SERIALIZERS[serializer]
    assert envelope["headers"]["compression"] == COMPRESSIONS[compression]
    redis.client.lpush(python_of_all.queue, sent)
    assert result.get(timeout=10) == VALUE


@pytest.fixture(scope="module")
def python_of_all(app, redis, tmp_path_factory):
    """A lane whose Python worker accepts every serializer but pickle."""
    lane = Lane(app, redis, "python-of-all")
    settings = {"accept_content": list(SERIALIZERS)}
    directory = tmp_path_factory.mktemp("python-of-all")
    worker = python_worker(redis, redis, directory, "all", [lane.queue], settings=settings)
    until(lambda: lane.send("identity", 1).get(timeout=20) == 1, "it answers", 20)
    yield lane
    worker.stop()


def test_settings_say_what_rust_sends(app, redis, lane, start):
    """`task_serializer` and `task_compression`, accepted by their content types."""
    settings = {
        "task_serializer": "yaml",
        "task_compression": "zstd",
        "accept_content": ["application/json", "application/x-yaml"],
    }
    start(rust_worker, lane, settings=settings)
    idle = Lane(app, redis, f"idle-{lane.queue}")
    link = app.signature(full_name("identity"), queue=idle.queue)
    lane.apply("identity", [1], link=link).get(timeout=10)
    sent = popped(idle)
    envelope = json.loads(sent)
    assert envelope["content-type"] == "application/x-yaml"
    assert envelope["headers"]["compression"] == "application/zstd"
    # It reads what it writes.
    redis.client.lpush(lane.queue, sent)
    assert app.AsyncResult(envelope["headers"]["id"]).get(timeout=10) == 1


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_message_is_read(rust, compression):
    assert rust.apply("identity", [VALUE], compression=compression).get(timeout=10) == VALUE


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_result_is_read_and_not_overwritten(redis, lane, start, compression):
    start(rust_worker, lane, settings={"result_compression": compression})
    result = lane.send("store_success_then_reject")
    assert result.get(timeout=10) == "first-pass"
    until(lambda: lane.waiting() == lane.held() == 0, "the second pass has ended")
    assert lane.app.AsyncResult(result.id).result == "first-pass"
    raw = redis.client.execute_command(
        "GETRANGE", f"celery-task-meta-{result.id}", 0, 30, NEVER_DECODE=True
    )
    assert raw.startswith(b"\x00celery-compressed\x00" + COMPRESSIONS[compression][:10].encode())


def test_a_python_worker_does_not_overwrite_what_rust_has_compressed(redis, lane, start):
    """Both read each other's compressed results."""
    settings = {"result_compression": "zstd"}
    start(rust_worker, lane, settings=settings)
    result = lane.send("identity", VALUE)
    assert result.get(timeout=10) == VALUE
    lane.app.backend.mark_as_failure(result.id, ValueError("late"))
    assert lane.app.AsyncResult(result.id).result == VALUE


def kept(lane, result):
    """The dead letter of a task."""
    def letter():
        letters = map(json.loads, lane.redis.client.lrange(DEAD, 0, -1))
        return next((letter for letter in letters if result.id in letter.get("payload", "")), None)

    return until(letter, "a dead letter")


@pytest.mark.parametrize("serializer", ["msgpack", "yaml", "pickle"])
def test_what_is_not_accepted_is_kept(app, redis, rust, serializer):
    idle = Lane(app, redis, f"refused-{serializer}")
    result = idle.apply("identity", [1], serializer=serializer)
    sent = popped(idle)
    redis.client.lpush(rust.queue, sent)
    letter = kept(rust, result)
    assert serializer in letter["reason"] and "accept_content" in letter["reason"]
    assert letter["payload"] == sent
    # Python leaves its caller waiting.
    until(lambda: result.state == "FAILURE", "its caller hears of it")
    assert type(result.result).__name__ == "ContentDisallowed"


def test_pickle_is_kept_even_if_it_is_accepted(redis, lane, start):
    start(rust_worker, lane, settings={"accept_content": ["json", "pickle"]})
    result = lane.apply("identity", [1], serializer="pickle")
    letter = kept(lane, result)
    assert "pickle (application/x-python-serialize)" in letter["reason"]
    assert "accept_content" not in letter["reason"]
    assert json.loads(letter["payload"])["headers"]["id"] == result.id


def test_an_unknown_compression_is_kept(app, redis, rust):
    idle = Lane(app, redis, "unknown-compression")
    result = idle.send("identity", 1)
    envelope = json.loads(popped(idle))
    envelope["headers"]["compression"] = "application/x-lzo"
    redis.client.lpush(rust.queue, json.dumps(envelope))
    assert "application/x-lzo" in kept(rust, result)["reason"]
