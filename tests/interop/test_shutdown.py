"""How a worker ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from support.lane import Lane
from support.monitor import comparable, monitoring, same
from support.waiting import until
from support.workers import python_worker, rust_worker

BOTH = pytest.mark.parametrize("kind", [python_worker, rust_worker], ids=lambda kind: kind.__name__)


def begun(lane, result):
    until(lambda: (lane.meta(result) or {}).get("status") == "STARTED", "it runs")


def test_term_lets_tasks_finish_and_returns_the_others_at_once(start, lane):
    worker = start(rust_worker, lane, concurrency=2)
    running = [lane.send("delayed_sum", [n], 3) for n in range(2)]
    for result in running:
        begun(lane, result)
    others = [lane.send("identity", n) for n in range(6)]
    until(lambda: lane.waiting() == 0, "the worker has reserved them")
    worker.signal(signal.SIGTERM)
    until(lambda: lane.waiting() == len(others), "they are back")
    assert worker.running
    assert worker.wait() == 0
    assert [lane.meta(result)["result"] for result in running] == [0, 1]
    assert lane.held() == 0
    start(rust_worker, lane, concurrency=2)
    assert [result.get(timeout=10) for result in others] == list(range(6))


def late_task(start, lane):
    worker = start(rust_worker, lane, concurrency=1, settings={"task_acks_late": True})
    begun(lane, lane.send("sleeping", 60))
    return worker


def returned(lane, worker):
    worker.wait()
    return lane.waiting() == 1 and lane.held() == 0


def test_the_second_interrupt_waits_for_nobody(start, lane):
    worker = late_task(start, lane)
    waiting = lane.send("identity", 1)
    until(lambda: lane.waiting() == 0, "it is reserved")
    worker.signal(signal.SIGINT)
    until(lambda: lane.waiting() == 1, "the warm shutdown has begun")
    assert worker.running
    worker.signal(signal.SIGINT)
    worker.wait()
    assert lane.waiting() == 2 and lane.held() == 0
    assert lane.meta(waiting) is None


@BOTH
def test_further_terms_change_nothing(start, lane, kind):
    worker = start(kind, lane, concurrency=1)
    running = lane.send("delayed_sum", [1, 2], 3)
    begun(lane, running)
    for times in (1, 2, 3):
        worker.signal(signal.SIGTERM)
        until(lambda: worker.log.read_text().count("Warm shutdown") == times, "it is told")
    worker.wait()
    assert lane.meta(running)["result"] == 3


@BOTH
def test_hup_starts_the_program_again_after_what_runs(start, lane, tmp_path, kind):
    pidfile = tmp_path / "w.pid"
    # Celery starts what `-m celery` has run in a way that cannot work.
    script = {"program": [Path(sys.executable).with_name("celery")]} if kind is python_worker else {}
    options = ["--pidfile", pidfile, "-l", "INFO"]
    worker = start(kind, lane, concurrency=1, options=options, **script)
    running = lane.send("delayed_sum", [1, 2], 1.5)
    begun(lane, running)
    waiting = lane.send("identity", 1)
    worker.signal(signal.SIGHUP)
    until(lambda: worker.log.read_text().count(" ready.") == 2, "it has started again", 20)
    assert running.get(timeout=5) == 3 and waiting.get(timeout=5) == 1
    assert pidfile.read_text() == f"{worker.pid}\n"
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0 and not pidfile.exists()


def test_after_hup_children_are_new_ones(start, lane):
    worker = start(rust_worker, lane, concurrency=1, options=["-P", "prefork"])
    before = lane.call("processes.pid")
    worker.signal(signal.SIGHUP)
    until(lambda: worker.log.read_text().count(" ready.") == 2, "it has started again", 20)
    assert lane.call("processes.pid") not in (before, worker.pid)
    assert not os.path.exists(f"/proc/{before}")


@BOTH
def test_usr1_has_it_say_what_it_is_at_and_go_on(start, lane, kind):
    worker = start(kind, lane, concurrency=1)
    running = lane.send("delayed_sum", [1, 2], 2)
    begun(lane, running)
    before = worker.log.read_text()
    worker.signal(signal.SIGUSR1)
    until(lambda: worker.log.read_text() != before, "it says something")
    if kind is rust_worker:
        worker.wait_for_log(f"[{running.id}] active since")
    assert running.get(timeout=10) == 3 and worker.running


@BOTH
def test_term_can_be_remapped_to_quit(start, lane, monkeypatch, kind):
    monkeypatch.setenv("REMAP_SIGTERM", "SIGQUIT")
    worker = start(kind, lane, concurrency=1)
    running = lane.send("sleeping", 60)
    begun(lane, running)
    worker.signal(signal.SIGTERM)
    worker.wait(timeout=10)
    assert lane.meta(running)["status"] == "RETRY"


def cut_off(start, lane, kind, **settings):
    """What is stored and told of a task that a cold shutdown cuts off."""
    worker = start(kind, lane, concurrency=1, settings=settings, options=["-E"])
    with monitoring(lane.app) as monitor:
        running = lane.send("sleeping", 60)
        begun(lane, running)
        worker.signal(signal.SIGQUIT)
        worker.wait(timeout=10)
        until(lambda: "task-cancelled" in kinds(monitor.of_task(running.id)), "it is told")
        events = [comparable(event) for event in monitor.of_task(running.id)]
    meta = lane.meta(running)
    return meta["status"], meta["result"].get("exc_type"), meta["result"].get("exc_message"), events


def kinds(events):
    return [event["type"] for event in events]


@pytest.mark.parametrize("late, pool", [(False, "threads"), (True, "threads"), (False, "prefork")])
def test_what_is_cut_off_is_stored_and_told_as_python_does(start, lane, app, redis, late, pool):
    theirs = cut_off(start, lane, python_worker, task_acks_late=late)
    own = Lane(app, redis, f"{lane.queue}-rust")
    ours = cut_off(start, own, rust_worker, task_acks_late=late, worker_pool=pool)
    assert ours[:3] == theirs[:3]
    same(theirs[3], ours[3])


@BOTH
def test_who_shuts_down_is_gone_for_others(start, lane, kind):
    worker = start(kind, lane, concurrency=1, options=["-E"])
    node = f"{worker.name}@test"
    with monitoring(lane.app) as monitor:
        running = lane.send("delayed_sum", [1, 2], 4)
        begun(lane, running)
        worker.signal(signal.SIGTERM)
        until(lambda: monitor.of_worker(node, "worker-offline"), "it says that it leaves")
        assert lane.meta(running)["status"] == "STARTED"
        assert not lane.app.control.ping([node], timeout=1)
        worker.wait(timeout=10)
    assert lane.meta(running)["result"] == 3


def test_quit_returns_a_running_late_task(start, lane):
    worker = late_task(start, lane)
    worker.signal(signal.SIGQUIT)
    worker.wait()
    assert lane.waiting() == 1 and lane.held() == 0


def test_a_soft_shutdown_gives_tasks_a_last_while(start, lane):
    soft = {"task_acks_late": True, "worker_soft_shutdown_timeout": 2}
    worker = start(rust_worker, lane, concurrency=2, settings=soft)
    short, long = lane.send("delayed_sum", [1, 2], 1), lane.send("sleeping", 60)
    begun(lane, short)
    begun(lane, long)
    worker.signal(signal.SIGQUIT)
    # A cold end is no success.
    assert worker.wait(timeout=6) == 1
    assert lane.meta(short)["result"] == 3
    assert lane.waiting() == 1 and lane.held() == 0


def test_a_task_whose_result_cannot_be_stored_is_not_acknowledged(
    lane, redis, durable_redis, tmp_path
):
    late = {"task_acks_late": True, "task_track_started": False}
    worker = rust_worker(redis, redis, tmp_path, "storing", [lane.queue], 1, late, durable_redis)
    try:
        worker.wait_for_log("ready.")
        durable_redis.kill()
        lane.send("identity", 1)
        worker.wait_for_log("cannot store a result")
        worker.signal(signal.SIGQUIT)
        assert worker.wait(timeout=15) == 1
        assert lane.waiting() == 1 and lane.held() == 0
    finally:
        worker.stop()
