"""Celery's own command line, with a Rust worker and with a Python one: it prints the same."""

import json
import os
import re
import subprocess
import sys

import pytest
from celery import uuid

from support.fleet import Member
from support.lane import Lane
from support.process import Process
from support.redis_server import RedisServer
from support.twins import UUID
from support.waiting import until
from support.workers import TESTS, environment, python_worker, rust_worker, until_listening

KINDS = (python_worker, rust_worker)
ADD = "t.integration.tasks.add"

#: What is each worker's own in what is printed.
OWN = [
    (UUID.pattern, "<id>"),
    (r"(time_start|worker_pid)\W+[\d.]+", r"\1 <number>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?", "<time>"),
    (r"(runtime|clock|freq|pid|loadavg|local_received|timestamp)\W+[\d.]+(e-\d+)?", r"\1 <number>"),
]


def command(redis, *arguments, **settings):
    """The words and the environment of `celery …`."""
    argv = [sys.executable, "-m", "celery", "-A", "support.app", *arguments]
    env = environment(redis, redis) | {"INTEROP_SETTINGS": json.dumps(settings)}
    return argv, env


class Celery:
    """`celery …`, as a process of its own."""

    def __init__(self, redis, *arguments, **settings):
        argv, env = command(redis, *arguments, **settings)
        self.child = subprocess.Popen(argv, env=os.environ | env, cwd=TESTS, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def printed(self):
        """All that it prints, and its exit code."""
        text, _ = self.child.communicate(timeout=30)
        return text, self.child.returncode


def celery(redis, *arguments, **settings):
    return Celery(redis, *arguments, **settings).printed()


def comparable(member, text):
    """What is printed, without what is each worker's own; some of it is in no order."""
    for name, shown in [(member.lane.queue, "QUEUE"), (member.node, "NODE")]:
        text = text.replace(name, shown)
    for pattern, shown in OWN:
        text = re.sub(pattern, shown, text)
    return sorted(text.splitlines())


def members(redis, directory, name):
    return [Member(kind, redis, directory, f"{name}-{kind.__name__}") for kind in KINDS]


@pytest.fixture(scope="module")
def idle(redis, tmp_path_factory):
    """A worker of each kind with nothing to do."""
    idle = members(redis, tmp_path_factory.mktemp("idle"), f"idle{uuid()[:4]}")
    try:
        until_listening(idle[0].app, *(member.node for member in idle))
        yield idle
    finally:
        for member in idle:
            member.worker.stop()


@pytest.fixture(scope="module")
def busy(redis, tmp_path_factory):
    """A worker of each kind with two tasks that run, one that waits, and one scheduled."""
    busy = members(redis, tmp_path_factory.mktemp("busy"), f"busy{uuid()[:4]}")
    try:
        for member in busy:
            member.worker.wait_for_log("ready.")
            member.running = member.occupied()[0].id
            member.lane.send("identity", 1)
            member.lane.apply("add", [1, 2], countdown=600)
            until(lambda: member.lane.waiting() == 0, "the worker has taken all")
        yield busy
    finally:
        for member in busy:
            member.worker.kill()


def same(pair, redis, verb, line, patience="5"):
    """Fails unless the same is printed of both workers; gives it, of ours."""
    both = []
    for member in pair:
        words = line.replace("QUEUE", member.lane.queue).replace(
            "RUNNING", getattr(member, "running", "")).split()
        both.append(Celery(redis, verb, "-d", member.node, "-t", patience, *words))
    # Both have run at once.
    printed = [each.printed() for each in both]
    theirs, ours = ((comparable(member, text), code)
                    for member, (text, code) in zip(pair, printed))
    assert ours == theirs
    return ours


CONTROL = [
    f"rate_limit {ADD} 10/m",
    f"rate_limit {ADD} ten",
    f"time_limit {ADD} 10 20",
    "enable_events",
    "disable_events",
    "heartbeat",
    "pool_grow 1",
    "pool_shrink 1",
    "pool_restart",
    "autoscale 3 1",
    "add_consumer QUEUE-more",
    "cancel_consumer QUEUE-more",
    "revoke no-such-task",
    "terminate SIGTERM no-such-task",
    "revoke_by_stamped_headers tenant=one",
]


@pytest.mark.parametrize("line", CONTROL)
def test_control(idle, redis, line):
    printed, code = same(idle, redis, "control", line)
    assert code == 0 and any("NODE: " in line for line in printed)


INSPECT = ["ping", "active", "scheduled", "reserved", "revoked", "active_queues", "objgraph",
           "query_task RUNNING"]


@pytest.mark.parametrize("line", INSPECT)
def test_inspect(busy, redis, line):
    printed, code = same(busy, redis, "inspect", line)
    assert code == 0 and "1 node online." in printed


#: Commands that are answered with figures of one's own, and what is in the answer.
FIGURES = {
    "registered": "* t.integration.tasks.add",
    "clock": '"clock": ',
    "conf": '"task_track_started": true',
    "report": "software -> celery:5",
    "memsample": "MB",
    "memdump": "rss",
}


@pytest.mark.parametrize("line, part", FIGURES.items())
def test_inspect_prints_figures(busy, redis, line, part):
    node = busy[1].node
    text, code = celery(redis, "inspect", "-d", node, "-t", "5", line)
    assert code == 0 and text.startswith(f"->  {node}: OK") and part in text


def test_inspect_as_json(busy, redis):
    answers = []
    for member in busy:
        text, _ = celery(redis, "inspect", "-d", member.node, "-t", "5", "--json", "stats")
        answers.append(json.loads(text)[member.node])
    assert answers[1].keys() == answers[0].keys()


def test_status_lists_both(idle, redis):
    text, code = celery(redis, "status", "-t", "2", "-d", ",".join(each.node for each in idle))
    assert code == 0 and "2 nodes online." in text
    assert all(f"->  {member.node}: OK" in text for member in idle)


def test_shutdown(redis, tmp_path):
    leaving = members(redis, tmp_path, f"leaving{uuid()[:4]}")
    until_listening(leaving[0].app, *(member.node for member in leaving))
    same(leaving, redis, "control", "shutdown", patience="1")
    for member in leaving:
        assert member.worker.wait(timeout=10) == 0
    text, code = celery(redis, "status", "-d", leaving[1].node)
    assert code == 69 and "No nodes replied" in text


def test_call_and_result(idle, redis):
    printed = []
    for member in idle:
        results = lambda *words: celery(redis, "result", *words)
        called, code = celery(redis, "call", ADD, "-a", "[2]", "-k", '{"y": 40}',
                              "--queue", member.lane.queue)
        good, bad = member.app.AsyncResult(called.strip()), member.lane.send("fail", "no")
        assert code == 0 and good.get(timeout=10) == 42
        bad.get(timeout=10, propagate=False)
        # A traceback is of another language; its first line is not.
        traceback, code = results("--traceback", bad.id)
        printed.append([results(good.id), results(bad.id), code, traceback.splitlines()[0]])
    assert printed[1] == printed[0]
    assert printed[1][0] == ("42\n", 0)


def test_bindings_are_listed(idle, redis):
    """Of the queue that the worker has bound."""
    listed = []
    for member in idle:
        text, code = celery(redis, "list", "bindings", task_default_queue=member.lane.queue)
        assert code == 0
        listed.append([line.split() for line in text.splitlines() if member.lane.queue in line])
        assert listed[-1] == [[member.lane.queue] * 3]


def test_events_are_dumped(idle, redis, tmp_path):
    printed = []
    for member in idle:
        argv, env = command(redis, "events", "--dump")
        env |= {"PYTHONUNBUFFERED": "1"}
        dump = Process(f"dump-{member.node}", argv, TESTS, env, log=tmp_path / member.node)
        try:
            dump.wait_for_log("-> evdump: starting capture")
            member.app.control.enable_events([member.node], reply=True, timeout=5, limit=1)
            id = uuid()

            def said():
                lines = re.split(r"\n(?=\S)", dump.log.read_text())
                return [line for line in lines if id in line]

            # It may listen a moment later than it says.
            until(lambda: f"{member.node} [" in dump.log.read_text(), "it hears the worker")
            result = member.lane.apply("add", [1, 2], task_id=id)
            assert result.get(timeout=10) == 3
            until(lambda: len(said()) == 3, "all three events are printed")
            printed.append(comparable(member, "\n".join(said())))
        finally:
            dump.stop()
            member.app.control.disable_events([member.node], reply=True, timeout=5, limit=1)
    assert printed[1] == printed[0]


@pytest.fixture
def given_back(tmp_path):
    """The lane, on a Redis of its own, of a Rust worker that was stopped with
    three messages reserved."""
    server = RedisServer(tmp_path)
    member = Member(rust_worker, server, tmp_path, "stopped")
    member.worker.wait_for_log("ready.")
    for priority in (0, 3, 9):
        member.lane.apply("add", [priority, 1], priority=priority, countdown=600)
    until(lambda: member.lane.held() == 3, "the worker holds them")
    assert member.worker.stop() == 0
    until(lambda: member.lane.waiting() == 3, "they are back in their queue")
    yield member.lane
    server.stop()


def test_a_queue_is_purged(given_back):
    text, code = celery(given_back.redis, "purge", "-f", "-Q", given_back.queue)
    assert (text, code) == ("Purged 3 messages from 1 known task queue.\n", 0)
    assert given_back.waiting() == 0


def test_messages_are_migrated(given_back, idle, redis):
    """From one Redis to another, where a Rust worker takes them."""
    _, rust = idle
    moved = Lane(rust.app, redis, given_back.queue)
    text, code = celery(given_back.redis, "migrate", "-t", "0.5", "-a", "-Q", moved.queue,
                        given_back.redis.url, redis.url)
    assert code == 0, text
    assert (moved.waiting(), given_back.waiting()) == (3, 0)
    celery(redis, "control", "-d", rust.node, "add_consumer", moved.queue)
    until(lambda: moved.held() == 3, "the worker takes them")
    celery(redis, "control", "-d", rust.node, "cancel_consumer", moved.queue)
