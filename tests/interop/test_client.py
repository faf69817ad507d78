"""A Rust program that is no worker: it sends to Python workers, follows what becomes of
it, and steers them, as Celery's own client does."""

import json

import pytest
from celery import group, uuid
from celery.result import AsyncResult, GroupResult, result_from_tuple

from support.lane import full_name
from support.redis_server import free_port
from support.rust_client import RustClient
from support.waiting import until


REFUSED = "soft_time_limit must be less than or equal to time_limit"


@pytest.fixture
def client(redis, tmp_path):
    client = RustClient(tmp_path, redis.url, redis.url)
    yield client
    assert client.stop() == 0


def signature(lane, name, *args, **options):
    return lane.app.signature(full_name(name), args, **{"queue": lane.queue, **options})


def same(tuples):
    """Tuples as JSON has them."""
    return json.loads(json.dumps(tuples))


def test_a_result_is_followed(client, python):
    result = client.send(signature(python, "add", 1, 2))
    assert client.ask("get", result=result) == 3
    assert client.ask("state", result=result) == "SUCCESS"
    theirs = result_from_tuple(result, python.app)
    assert client.ask("meta", result=result) == python.meta(theirs)
    unknown = [[uuid(), None], None]
    assert client.ask("state", result=unknown) == "PENDING"
    assert client.ask("meta", result=unknown) is None


def test_a_failure_is_told_by_its_python_name(client, python):
    result = client.send(signature(python, "raise_error"))
    assert client.ask("get", result=result) == {"error": "FAILURE: ValueError: deliberate error"}


def test_children_are_those_that_python_sees(client, python):
    result = client.send(
        signature(python, "interop.relay", full_name("add"), [1, 2], python.queue))
    assert client.ask("get", result=result) == 3
    children = client.ask("children", result=result)
    theirs = result_from_tuple(result, python.app).children
    assert children == same([child.as_tuple() for child in theirs]) and len(children) == 1
    assert client.ask("get", result=children[0]) == 3


def test_a_group_is_iterated_and_forgotten(client, python):
    result = client.send(group(signature(python, "mul", n, n) for n in range(5)))
    assert client.ask("get", result=result) == [0, 1, 4, 9, 16]
    assert sorted(client.ask("iter", result=result)) == [[n, {"Ok": n * n}] for n in range(5)]
    members = result_from_tuple(result, python.app).results
    assert all(python.meta(member) for member in members)
    client.ask("forget", result=result)
    assert not any(python.meta(member) for member in members)
    assert client.ask("state", result=result[1][0]) == "PENDING"


def test_a_group_that_python_saves_is_restored(client, python):
    saved = group(signature(python, "add", n, 1) for n in range(3)).apply_async()
    saved.save()
    restored = client.ask("group_result", id=saved.id)
    assert restored == same(saved.as_tuple())
    assert client.ask("get", result=restored) == [1, 2, 3]
    assert client.ask("group_result", id=uuid()) is None


def test_python_restores_a_group_that_rust_saves(client, python):
    saved = client.send(group(signature(python, "add", n, 1) for n in range(3)))
    client.ask("save", result=saved)
    restored = GroupResult.restore(saved[0][0], app=python.app)
    assert same(restored.as_tuple()) == saved
    assert restored.get(timeout=10) == [1, 2, 3]


def test_a_running_task_is_terminated_and_a_waiting_one_revoked(client, python):
    running = client.send(signature(python, "sleeping", 60))
    until(lambda: client.ask("state", result=running) == "STARTED", "it runs")
    client.ask("terminate", result=running)
    until(lambda: client.ask("state", result=running) == "REVOKED", "it is terminated")
    waiting = client.send(group(signature(python, "add", n, 1, countdown=3) for n in range(2)))
    client.ask("revoke", result=waiting)
    for member in waiting[1]:
        until(lambda: client.ask("state", result=member) == "REVOKED", "it is revoked")
    assert AsyncResult(running[0][0], app=python.app).state == "REVOKED"


def test_workers_answer_as_they_answer_python(client, python):
    node = "python_worker@test"
    task = full_name("identity")
    commands = [("ping", {}), ("active_queues", {}), ("no_such_command", {}),
                ("rate_limit", {"task_name": task, "rate_limit": "100/s"}),
                ("rate_limit", {"task_name": task, "rate_limit": 0})]
    for command, arguments in commands:
        ours = client.ask("control", command=command, arguments=arguments, destination=[node])
        theirs = python.app.control.broadcast(command, arguments=arguments, reply=True,
                                              destination=[node], timeout=5, limit=1)
        assert ours == theirs[0]


def test_limits_that_contradict_each_other_are_refused(client, python):
    wrong = signature(python, "add", 1, 2, soft_time_limit=2, time_limit=1)
    assert client.send(wrong) == {"error": REFUSED}


def test_a_task_whose_own_limits_contradict_each_other_is_not_sent(python, rust):
    wrong = json.loads(json.dumps(signature(rust, "soft_time_limit_must_exceed_time_limit")))
    for lane in (python, rust):
        with pytest.raises(Exception, match=REFUSED):
            lane.call("interop.apply", wrong)


def attempts(redis, directory, **settings):
    """How often a send is tried on a broker that refuses it, and what it says then."""
    redis.client.config_resetstat()
    client = RustClient(directory, redis.url, **settings)
    answer = client.send({"task": "t", "args": [], "kwargs": {}, "options": {}})
    client.stop()
    return redis.client.info("commandstats")["cmdstat_lpush"]["rejected_calls"], answer


def test_a_send_gives_up_after_its_retries(durable_redis, tmp_path):
    # Full, as far as it is concerned.
    durable_redis.client.config_set("maxmemory", 1)
    policy = {"max_retries": 2, "interval_start": 0.01, "interval_step": 0}
    settings = {"task_publish_retry_policy": policy}
    count, answer = attempts(durable_redis, tmp_path, **settings)
    assert count == 3 and "OOM" in answer["error"]
    count, answer = attempts(durable_redis, tmp_path, task_publish_retry=False, **settings)
    assert count == 1 and "OOM" in answer["error"]


def test_a_broker_that_is_down_is_an_error(tmp_path):
    client = RustClient(tmp_path, f"redis://127.0.0.1:{free_port()}/0", task_publish_retry=False)
    answer = client.send({"task": "t", "args": [], "kwargs": {}, "options": {}})
    client.stop()
    assert "Connection refused" in answer["error"]
