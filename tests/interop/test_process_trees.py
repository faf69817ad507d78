"""What a run in a child process has started: it ends with the run if that is
ended by force, and is left alone otherwise."""

import os
import signal
from contextlib import suppress

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from support.waiting import until
from support.workers import rust_worker

#: What `processes.cat` runs: a tree of processes, one of which heeds no signal.
TREE = """#!/bin/sh
sleep 300 &
echo $! >> {pids}
sh -c 'trap "" HUP INT TERM; sleep 300 & echo $$ $! >> {pids}; wait' &
wait
"""
#: Ends in order and leaves something behind, which holds no pipe of the task.
LEAVING = """#!/bin/sh
sleep 300 > /dev/null 2>&1 &
echo $! >> {pids}
"""
#: What leaves the child's group, and the run that waits for it.
DAEMON = """#!/bin/sh
setsid sh -c 'echo $$ >> {pids}; exec sleep 300' > /dev/null 2>&1 &
sleep 300
"""
SLOW = """#!/bin/sh
echo $$ >> {pids}
sleep 1.5
echo done
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program in the place of `cat`, and tells the pids that it writes."""
    pids = tmp_path / "pids"

    def program(text):
        cat = tmp_path / "bin" / "cat"
        cat.parent.mkdir()
        cat.write_text(text.format(pids=pids))
        cat.chmod(0o755)
        monkeypatch.setenv("PATH", f"{cat.parent}:{os.environ['PATH']}")
        return lambda count: until(lambda: started(pids, count), "all are started")

    yield program
    for pid in started(pids, 0) or []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def started(path, count):
    pids = list(map(int, path.read_text().split())) if path.exists() else []
    return pids if len(pids) >= count else None


def lives(pid):
    """A process whose parent has not waited for it yet is gone as well."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids):
    until(lambda: not any(map(lives, pids)), "nothing of the run is left", 3)


def child(lane, worker):
    node = f"{worker.name}@test"
    [request] = lane.app.control.inspect([node], timeout=5).active()[node]
    return request["worker_pid"]


def test_the_hard_time_limit(start, lane, program):
    pids = program(TREE)
    start(rust_worker, lane)
    running = lane.apply("processes.cat", time_limit=1.5)
    tree = pids(3)
    with pytest.raises(TimeLimitExceeded):
        running.get(timeout=10)
    gone(tree)
    assert lane.call("identity", 1) == 1


@pytest.mark.parametrize("name", ["processes.cat", "processes.await_cat"], ids=["blocks", "waits"])
def test_the_soft_time_limit(start, lane, program, name):
    pids = program(TREE)
    start(rust_worker, lane)
    running = lane.apply(name, soft_time_limit=1.5)
    tree = pids(3)
    with pytest.raises(SoftTimeLimitExceeded):
        running.get(timeout=10)
    gone(tree)


def test_what_the_soft_time_limit_finds_alone_goes_on(start, lane):
    start(rust_worker, lane, concurrency=1, settings={"worker_pool": "prefork"})
    child = lane.call("processes.pid")
    with pytest.raises(SoftTimeLimitExceeded):
        lane.apply("sleeping", [60], soft_time_limit=0.3).get(timeout=10)
    assert lane.call("processes.pid") == child


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP", "SIGINT", "SIGQUIT"])
def test_terminate(start, lane, program, name):
    pids = program(TREE)
    start(rust_worker, lane)
    running = lane.send("processes.cat")
    tree = pids(3)
    lane.app.control.revoke(running.id, terminate=True, signal=name)
    gone(tree)


def test_the_end_of_the_child(start, lane, program):
    pids = program(TREE)
    worker = start(rust_worker, lane)
    lane.send("processes.cat")
    tree = pids(3)
    os.kill(child(lane, worker), signal.SIGKILL)
    gone(tree)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "cold"])
def test_the_end_of_the_worker(start, lane, program, number):
    pids = program(TREE)
    worker = start(rust_worker, lane)
    lane.send("processes.cat")
    tree = pids(3)
    worker.signal(number)
    worker.wait(timeout=10)
    gone(tree)


def test_what_ends_in_order_leaves_what_it_likes(start, lane, program):
    pids = program(LEAVING)
    worker = start(rust_worker, lane, settings={"worker_max_tasks_per_child": 1})
    before = lane.call("processes.cat")
    [left] = pids(1)
    assert before == "" and lane.call("processes.pid") and lives(left)
    worker.signal(signal.SIGTERM)
    assert worker.wait(timeout=10) == 0
    assert lives(left)


def test_a_session_of_its_own_outlives_the_run(start, lane, program):
    pids = program(DAEMON)
    start(rust_worker, lane)
    running = lane.apply("processes.cat", time_limit=2)
    [daemon] = pids(1)
    with pytest.raises(TimeLimitExceeded):
        running.get(timeout=10)
    assert lives(daemon)


def test_ctrl_c_reaches_nothing_that_a_run_has_started(start, lane, program):
    pids = program(SLOW)
    worker = start(rust_worker, lane)
    running = lane.send("processes.cat")
    pids(1)
    # What a terminal does: the whole group of the worker gets it.
    os.killpg(worker.pid, signal.SIGINT)
    assert worker.wait(timeout=10) == 1
    assert running.get(timeout=5) == "done\n"
