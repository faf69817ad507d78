"""A Redis that allows little: the least that is documented is enough, and what lacks is named."""

import re
from types import SimpleNamespace

import pytest
from celery import chain, chord

from conftest import client
from support.lane import Lane, full_name
from support.rust_client import RustClient
from support.waiting import until
from support.workers import TESTS, rust_worker

#: As docs/operations.md has it.
RULES = re.search(r"ACL SETUSER celeriac on >PASSWORD (.*)",
                  (TESTS.parent / "docs/operations.md").read_text())[1].split()


@pytest.fixture
def allowed(durable_redis):
    """The address of a user who is allowed this."""
    def allowed(*rules):
        durable_redis.client.execute_command(
            "ACL", "SETUSER", "celeriac", "reset", "on", ">s3cret", *rules)
        return SimpleNamespace(url=durable_redis.url.replace("//", "//celeriac:s3cret@"))
    return allowed


@pytest.fixture
def lane(durable_redis):
    return Lane(client(durable_redis), durable_redis, "permitted")


def test_the_least_that_is_documented_is_enough(allowed, lane, durable_redis, redis, tmp_path):
    settings = {"task_acks_late": True, "worker_send_task_events": True, "result_expires": 0}
    worker = rust_worker(allowed(*RULES), redis, tmp_path, "modest", [lane.queue],
                         settings=settings)
    rust = RustClient(tmp_path, allowed(*RULES).url, allowed(*RULES).url)
    task = lambda name, *args: lane.app.signature(
        full_name(name), args, options={"queue": lane.queue})
    try:
        worker.wait_for_log("ready.")
        assert lane.call("add", 1, 2) == 3
        assert chain(task("add", 1, 2), task("add", 3))().get(timeout=15) == 6
        sums = chord([task("add", 1, 2), task("add", 3, 4)], app=lane.app)(task("tsum"))
        assert sums.get(timeout=15) == 10
        assert lane.call("retry_once") == 1
        assert lane.apply("add", [1, 1], countdown=0.5).get(timeout=15) == 2
        assert lane.app.send_task("no.such", queue=lane.queue).get(
            timeout=15, propagate=False).args == ("no.such",)
        assert lane.app.control.ping(timeout=5, limit=1) == [{"modest@test": {"ok": "pong"}}]
        lane.app.control.add_consumer("more", reply=True, timeout=5, limit=1)
        sent = rust.send(task("add", 4, 5))
        assert lane.app.AsyncResult(sent[0][0]).get(timeout=15) == 9
        lane.apply("add", [1, 1], countdown=600)
        until(lambda: lane.held() == 1, "it is held")
    finally:
        rust.stop()
        assert worker.stop() == 0
    assert lane.waiting() == 1
    refused = {entry["object"] for entry in durable_redis.client.acl_log()}
    # What redis-rs tells of itself; nobody needs it.
    assert refused <= {"client|setinfo", "client"}


def test_every_command_of_a_script_is_among_them():
    """Those too that only an accident calls for."""
    sources = [path for path in (TESTS.parent / "celeriac/src").rglob("*.rs") if path.name != "model.rs"]
    commands = {command.lower() for path in sources
                for command in re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text())}
    assert commands and commands <= {rule[1:] for rule in RULES if rule.startswith("+")}


@pytest.mark.parametrize("rule", ["-evalsha", "-script|load", "-sadd"])
def test_what_lacks_ends_the_worker_with_its_name(allowed, redis, lane, tmp_path, rule):
    worker = rust_worker(allowed(*RULES, rule), redis, tmp_path, "lacking", [lane.queue])
    try:
        assert worker.wait(15) != 0
    finally:
        worker.stop()
    log = worker.log.read_text(errors="replace")
    assert rule[1:].split("|")[0] in log.lower() and "s3cret" not in log


def test_without_client_tracking_it_asks(allowed, redis, lane, tmp_path):
    worker = rust_worker(allowed(*RULES, "-client"), redis, tmp_path, "asking", [lane.queue])
    try:
        worker.wait_for_log("ready.")
        assert lane.call("add", 1, 2) == 3
        assert worker.log.read_text().count("is asked every") == 1
    finally:
        worker.stop()
