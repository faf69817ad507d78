"""Tasks in child processes: what ends a child does not end the worker."""

import os
import re
import shutil
import signal
from pathlib import Path
from time import sleep

import pytest
from billiard.exceptions import WorkerLostError
from celery import chain, chord, group, uuid
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded

from support.lane import Lane
from support.monitor import comparable as comparable_event
from support.monitor import monitoring, same
from support.twins import comparable, differences
from support.waiting import until
from support.workers import interop_worker, python_worker, rust_worker

SETTINGS = {"worker_send_task_events": True}
#: How long Python waits until it believes that a child is lost.
PYTHON = {**SETTINGS, "worker_lost_wait": 0.2}
LAST = {"task-succeeded", "task-failed", "task-revoked"}


def pair(app, redis, directory, settings=None):
    """A lane with a Python worker, whose pool is prefork, and one with a Rust worker."""
    for kind, own in ((python_worker, PYTHON), (rust_worker, SETTINGS)):
        lane = Lane(app, redis, f"processes-{uuid()[:8]}")
        lane.worker = kind(
            redis, redis, directory, f"processes-{kind.__name__}-{uuid()[:4]}", [lane.queue], 2,
            {**own, **(settings or {})},
        )
        lane.node = f"{lane.worker.name}@test"
        yield lane


@pytest.fixture(scope="module")
def both(app, redis, tmp_path_factory):
    lanes = list(pair(app, redis, tmp_path_factory.mktemp("processes")))
    try:
        for lane in lanes:
            lane.worker.wait_for_log("ready.")
        yield lanes
    finally:
        for lane in lanes:
            lane.worker.stop()


@pytest.fixture(scope="module")
def rust(both):
    return both[1]


@pytest.fixture(scope="module")
def monitor(app):
    with monitoring(app) as monitor:
        yield monitor


def without_jobs(value):
    """The number of a run is each worker's own."""
    if isinstance(value, str):
        return re.sub(r"Job: \d+", "Job: <n>", value)
    if isinstance(value, dict):
        return {key: without_jobs(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_jobs, value))
    return value


def all_told(monitor, lane, id):
    def ended():
        events = [event for event in monitor.of_task(id) if event["hostname"] == lane.node]
        return events if any(event["type"] in LAST for event in events) else None

    return until(ended, "the end is told")


def told(monitor, lane, id):
    """The worker's events about a task, up to its end, made comparable."""

    events = sorted(all_told(monitor, lane, id), key=lambda event: event["type"])
    events = [comparable_event(without_wrapper(event)) for event in events]
    # Python tells twice of a hard time limit.
    return [event for n, event in enumerate(events) if event != events[n - 1] or n == 0]


def types_told(monitor, lane, id):
    return {event["type"] for event in all_told(monitor, lane, id)}


def without_wrapper(event):
    """What the parent of a child finds, Python tells of by the name of a wrapper
    that billiard puts around the exception; Rust names the exception itself."""
    exception = event.get("exception", "")
    own = re.match(r"(WorkerLostError|TimeLimitExceeded)\(", exception)
    if not own and exception != "ExceptionWithTraceback()":
        return event
    named = r"billiard\.exceptions\.(WorkerLostError|TimeLimitExceeded): "
    found = re.search(named, event["traceback"])[1]
    assert not own or own[1] == found
    return {**event, "exception": found, "traceback": f"{found}\n{found}"}


SCENARIOS = {
    "killed": ("processes.crash", [9]),
    "crashed": ("processes.crash", [11]),
    "left": ("processes.leave", [3]),
    "killed, with late acknowledgement": ("processes.crash_late", ["never-ends", 1000000]),
    "failed, for a cause": ("processes.fail",),
    "hard time limit": ("processes.spin", [30], {"time_limit": 0.5}),
    "soft time limit": ("processes.spin", [30], {"soft_time_limit": 0.3}),
    "soft time limit, guarded": ("processes.listen", [30], {"soft_time_limit": 0.3}),
    "own states": ("processes.progress", [2]),
    "retry": ("processes.again",),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_ends_as_in_a_child_of_a_python_worker(both, monitor, scenario):
    name, args, options = (*scenario, *([], {})[len(scenario) - 1 :])
    histories, events = [], []
    for lane in both:
        id = uuid()
        history = lane.history(name, args, task_id=id, **options)
        histories.append([without_jobs(comparable(meta)) for meta in history])
        events.append(told(monitor, lane, id))
    found = list(differences(*histories))
    assert not found, "\n".join(found)
    same(*events)


def test_a_lost_child_is_an_exception_and_the_worker_goes_on(rust):
    before = rust.call("processes.pid")
    with pytest.raises(WorkerLostError, match=r"signal 11 \(SIGSEGV\) Job: \d+\.$"):
        rust.call("processes.crash", signal.SIGSEGV)
    assert rust.worker.running
    assert rust.call("processes.pid") not in (before, rust.worker.pid)


def test_chosen_tasks_run_in_children_and_others_do_not(rust):
    assert rust.call("processes.pid") != rust.worker.pid
    assert rust.call("processes.here") == rust.worker.pid


def test_a_rejected_message_of_a_lost_child_runs_again(both, monitor, redis):
    events = []
    for lane in both:
        key = "rejected-twice"
        redis.client.delete(key)
        result = lane.send("processes.crash_rejected", key, 2)
        assert result.get(timeout=20) == 3
        assert int(redis.client.get(key)) == 3
        until(lambda: lane.held() == 0, "it is acknowledged")
        events.append(told(monitor, lane, result.id))
    same(*events)


def test_a_lost_childs_message_is_kept_if_failures_are_not_acknowledged(
    app, redis, tmp_path, monitor
):
    lanes = list(pair(app, redis, tmp_path, {"task_acks_on_failure_or_timeout": False}))
    try:
        events = []
        for lane in lanes:
            result = lane.send("processes.crash_late", "never-ends", 1000000)
            with pytest.raises(WorkerLostError):
                result.get(timeout=20)
            events.append(told(monitor, lane, result.id))
            until(lambda: lane.held() == lane.waiting() == 0, "it is settled")
        same(*events)
    finally:
        for lane in lanes:
            lane.worker.stop()


@pytest.mark.parametrize("times, states", [
    (2, ["STARTED", "RETRY", "STARTED", "RETRY", "STARTED", "SUCCESS"]),
    (9, ["STARTED", "RETRY", "STARTED", "RETRY", "STARTED", "FAILURE"]),
])
def test_a_task_is_retried_when_its_child_is_lost(both, monitor, redis, times, states):
    """With retries left it is; after that it fails, and does not go back."""
    events = []
    for lane in both:
        key, id = f"retried-{lane.queue}-{times}", uuid()
        history = lane.history("processes.crash_retried", [key, times], task_id=id, timeout=30)
        assert [meta["status"] for meta in history] == states
        assert int(redis.client.get(key)) == 3
        until(lambda: lane.held() == lane.waiting() == 0, "it is settled")
        events.append(types_told(monitor, lane, id))
    assert events[0] == events[1]


@pytest.mark.parametrize("on_timeout, runs", [(True, 1), (False, 2)])
def test_a_message_goes_back_if_a_timeout_is_not_acknowledged(
    app, redis, tmp_path, on_timeout, runs
):
    settings = {"task_acks_on_failure_or_timeout": not on_timeout,
                "task_acks_on_timeout": on_timeout}
    lanes = list(pair(app, redis, tmp_path, settings))
    try:
        for lane in lanes:
            result = lane.apply("processes.hang_at_first", [f"hung-{lane.queue}", 30], time_limit=0.5)
            until(lambda: lane.meta(result) and lane.meta(result)["status"] != "STARTED", "ends", 20)
            state = "FAILURE" if on_timeout else "SUCCESS"
            until(lambda: lane.meta(result)["status"] == state, "its last run ends")
            until(lambda: lane.held() == 0, "it is settled")
            assert int(redis.client.get(f"hung-{lane.queue}")) == runs
    finally:
        for lane in lanes:
            lane.worker.stop()


@pytest.mark.parametrize("on_failure", [True, False])
def test_a_failure_is_acknowledged_as_its_own_setting_says(
    app, redis, tmp_path, monitor, on_failure
):
    settings = {"task_acks_late": True, "task_acks_on_failure_or_timeout": not on_failure,
                "task_acks_on_failure": on_failure}
    lanes = list(pair(app, redis, tmp_path, settings))
    try:
        events = []
        for lane in lanes:
            result = lane.send("raise_error")
            with pytest.raises(ValueError):
                result.get(timeout=20)
            until(lambda: lane.held() == lane.waiting() == 0, "it is settled")
            types = types_told(monitor, lane, result.id)
            assert ("task-rejected" in types) != on_failure
            events.append(types)
        assert events[0] == events[1]
    finally:
        for lane in lanes:
            lane.worker.stop()


def test_a_lost_child_calls_errbacks(both, redis):
    for lane in both:
        errback = app_signature(lane, "errback_old_style")
        result = lane.apply("processes.crash", link_error=errback)
        until(lambda: redis.client.exists(result.id), "the errback is called", 20)


def app_signature(lane, name, *args, **options):
    full = name if "." in name else f"t.integration.tasks.{name}"
    return lane.app.signature(full, args, queue=lane.queue, **options)


def test_the_hard_limit_ends_a_task_that_computes(start, lane):
    worker = start(rust_worker, lane, concurrency=1)
    key = f"spun-{lane.queue}"
    pid = lane.call("processes.pid")
    with pytest.raises(TimeLimitExceeded):
        lane.apply("processes.spin", [2, key], time_limit=0.3).get(timeout=5)
    until(lambda: not exists(pid), "the child is gone")
    assert lane.call("processes.pid") not in (pid, worker.pid)
    assert lane.redis.client.get(key) is None


def test_the_soft_limit_ends_a_task_that_computes(rust):
    pid = rust.call("processes.pid")
    with pytest.raises(SoftTimeLimitExceeded):
        rust.apply("processes.spin", [30], soft_time_limit=0.3).get(timeout=5)
    # It still computed: only its end has ended that.
    until(lambda: not exists(pid) or rust.call("processes.pid") == pid, "it is ended")
    assert rust.worker.running


def terminated(lane, name):
    """What is stored of a task that is terminated by a signal while it computes."""
    result = lane.send("processes.spin", 30)
    until(lambda: (lane.meta(result) or {}).get("status") == "STARTED", "it runs")
    pid = lane.meta(result)["result"]["pid"]
    lane.app.control.revoke(result.id, terminate=True, signal=name, destination=[lane.node])
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=5)
    until(lambda: not exists(pid), "the child is gone")
    assert lane.call("processes.pid") != pid
    return result


@pytest.mark.parametrize("name", ["TERM", "KILL"])
def test_a_task_that_computes_is_terminated_as_by_python(both, monitor, name):
    results = [terminated(lane, name) for lane in both]
    stored = [[comparable(lane.meta(result))] for lane, result in zip(both, results)]
    assert not list(differences(*stored))
    same(*[told(monitor, lane, result.id) for lane, result in zip(both, results)])


@pytest.mark.parametrize("name", ["INT", "USR2"])
def test_a_task_that_computes_is_terminated_by_any_signal(rust, name):
    terminated(rust, name)


def test_a_child_is_replaced_after_so_many_runs(start, lane):
    start(rust_worker, lane, concurrency=1, settings={"worker_max_tasks_per_child": 3})
    pids = [lane.call("processes.pid") for _ in range(9)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    node = lane.app.control.inspect(["rust_worker0@test"])
    assert node.stats()["rust_worker0@test"]["pool"]["max-tasks-per-child"] == 3


def test_a_child_is_replaced_when_it_has_too_much_memory(start, lane):
    start(rust_worker, lane, concurrency=1, settings={"worker_max_memory_per_child": 100_000})
    first = lane.call("processes.allocate", 1)
    assert lane.call("processes.allocate", 200) == first
    assert lane.call("processes.pid") != first


def test_what_a_child_sends_is_its_tasks(rust):
    result = rust.send("processes.send", rust.queue)
    child = result.get(timeout=10)
    assert [node.id for node in result.children] == [child]
    sent = rust.app.AsyncResult(child)
    assert sent.get(timeout=10) == 1
    assert rust.meta(sent)["parent_id"] == result.id


def test_canvas_of_tasks_in_children(rust):
    pid, identity = app_signature(rust, "processes.pid"), app_signature(rust, "identity")
    steps = chain(pid, identity).delay()
    assert steps.get(timeout=10) == steps.parent.get(timeout=10) != rust.worker.pid
    children = chord([pid, pid], identity)().get(timeout=10)
    assert len(children) == 2 and rust.worker.pid not in children
    replaced = app_signature(rust, "processes.replaced", 7, rust.queue)
    assert chain(replaced, identity).delay().get(timeout=10) == 7
    assert len(group(pid for _ in range(8)).delay().get(timeout=10)) == 8
    assert rust.worker.pid not in rust.call("celery.map", task=pid, it=[None, None])


def exists(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, or after
        return False


def children(worker):
    def listed(path):
        try:
            return path.read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # its thread has ended
            return []

    lists = Path(f"/proc/{worker.pid}/task").glob("*/children")
    return [int(pid) for path in lists for pid in listed(path)]


def some(pids, count):
    return pids if len(pids) == count else None


PREFORK = {"worker_pool": "prefork"}


@pytest.fixture
def prefork(start, lane):
    worker = start(rust_worker, lane, concurrency=3, settings={**PREFORK, "task_acks_late": True})
    worker.lane = lane
    return worker


def stats(lane, worker):
    node = f"{worker.name}@test"
    return lane.app.control.inspect([node], timeout=5).stats()[node]


def full(pool):
    return pool if len(pool["processes"]) == pool["max-concurrency"] else None


def busy(lane, count):
    results = [lane.send("processes.spin", 30) for _ in range(count)]
    until(
        lambda: all((lane.meta(r) or {}).get("status") == "STARTED" for r in results), "they run"
    )
    return [lane.meta(result)["result"]["pid"] for result in results]


def test_prefork_runs_all_tasks_in_children(prefork, lane):
    pool = until(lambda: full(stats(lane, prefork)["pool"]), "all are there", interval=0.1)
    assert pool["max-concurrency"] == 3
    assert lane.call("processes.here") == prefork.pid
    pids = busy(lane, 3)
    assert set(pids) == set(pool["processes"])
    node = f"{prefork.name}@test"
    active = lane.app.control.inspect([node], timeout=5).active()[node]
    assert {request["worker_pid"] for request in active} == set(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_children_become_more_and_fewer_with_the_slots(prefork, lane):
    control, node = lane.app.control, f"{prefork.name}@test"
    for change, size in ((control.pool_shrink, 1), (control.pool_grow, 4)):
        change(abs(size - stats(lane, prefork)["pool"]["max-concurrency"]), destination=[node])
        pool = until(lambda: full(stats(lane, prefork)["pool"]), "so many are there", interval=0.1)
        assert pool["max-concurrency"] == size


def test_a_child_that_dies_idle_is_replaced(prefork, lane):
    pool = until(lambda: full(stats(lane, prefork)["pool"]), "all are there", interval=0.1)
    pid, *others = pool["processes"]
    os.kill(pid, signal.SIGKILL)

    def replaced():
        pids = stats(lane, prefork)["pool"]["processes"]
        return len(pids) == 3 and pid not in pids and set(others) < set(pids)

    until(replaced, "another takes its place", interval=0.1)
    assert lane.call("identity", 1) == 1


def test_children_that_cannot_start_are_no_reason_to_hurry(start, lane):
    """Nor to die: what needs no child goes on, and the message is not lost."""
    late = {"worker_proc_alive_timeout": 0.2}
    worker = start(rust_worker, lane, concurrency=2, settings=late)
    # A child reads the configuration as well, and here waits in vain for its text.
    config = worker.log.with_suffix(".toml")
    config.unlink()
    os.mkfifo(config)
    lane.send("processes.pid")
    said = lambda: worker.log.read_text().count("cannot run tasks: it could not run tasks after 200ms")
    for times in (1, 2, 3):
        until(lambda: said() >= times, "it tries again")
        assert lane.call("identity", 1) == 1
    assert said() < 20
    worker.signal(signal.SIGTERM)
    assert worker.wait(timeout=5) == 0
    assert lane.waiting() == 1 and lane.held() == 0


def test_what_a_task_starts_does_not_hear_the_worker(rust):
    assert rust.apply("processes.cat").get(timeout=5) == ""
    assert rust.call("processes.pid") != rust.worker.pid


def test_children_are_the_program_that_the_worker_is(start, lane, tmp_path, monkeypatch):
    program = Path(shutil.copy(interop_worker(), tmp_path / "program"))
    monkeypatch.setenv("CELERIAC_INTEROP_WORKER", str(program))
    start(rust_worker, lane)
    program.unlink()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert lane.call("processes.pid")


def test_pool_restart_replaces_children(start, lane):
    worker = start(
        rust_worker, lane, concurrency=2, settings={**PREFORK, "worker_pool_restarts": True}
    )
    pool = until(lambda: full(stats(lane, worker)["pool"]), "all are there", interval=0.1)
    before = pool["processes"]
    answer = lane.app.control.pool_restart(
        reply=True, destination=[f"{worker.name}@test"], timeout=5
    )
    assert answer == [{f"{worker.name}@test": {"ok": "reload started"}}]

    def replaced():
        pids = stats(lane, worker)["pool"]["processes"]
        return len(pids) == 2 and not set(pids) & set(before)

    until(replaced, "all are replaced", interval=0.1)
    assert lane.call("processes.pid") not in before


def test_killing_children_loses_none_of_their_late_tasks(start, lane, redis):
    late = {"task_acks_late": True, "task_reject_on_worker_lost": True}
    worker = start(rust_worker, lane, concurrency=4, settings={**PREFORK, **late})
    key, killed = f"done-{lane.queue}", 0
    for n in range(300):
        lane.apply("interop.record", [n, key], {"pause": 0.02}, ignore_result=True)
    while redis.client.llen(key) < 200:
        for pid in children(worker)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        sleep(0.05)
    assert killed > 5, "killed too few to prove anything"
    until(lambda: lane.waiting() == lane.held() == 0, "all are settled", 30)
    assert set(map(int, redis.client.lrange(key, 0, -1))) == set(range(300))
    assert redis.client.llen(key) <= 300 + killed


def test_nothing_is_left_of_a_killed_worker(prefork, lane):
    busy(lane, 1)
    pids = until(lambda: some(children(prefork), 3), "all are there")
    prefork.kill()
    until(lambda: not any(map(exists, pids)), "its children are gone")


def test_a_warm_shutdown_waits_for_children(prefork, lane):
    running = lane.send("processes.spin", 1.5)
    until(lambda: (lane.meta(running) or {}).get("status") == "STARTED", "it runs")
    pids = children(prefork)
    # As a service manager does: to the worker and all that it has started.
    for pid in [prefork.pid, *pids]:
        os.kill(pid, signal.SIGTERM)
    assert prefork.wait(timeout=10) == 0
    assert lane.meta(running)["status"] == "SUCCESS"
    assert not any(map(exists, pids))


def test_a_cold_shutdown_does_not(prefork, lane):
    busy(lane, 1)
    pids = children(prefork)
    prefork.signal(signal.SIGQUIT)
    assert prefork.wait(timeout=10) == 1
    assert not any(map(exists, pids))
    assert lane.waiting() == 1 and lane.held() == 0


def test_ctrl_c_is_the_workers(prefork, lane):
    running = lane.send("processes.spin", 1)
    until(lambda: (lane.meta(running) or {}).get("status") == "STARTED", "it runs")
    os.killpg(prefork.pid, signal.SIGINT)
    assert prefork.wait(timeout=10) == 1
    assert lane.meta(running)["status"] == "SUCCESS"
