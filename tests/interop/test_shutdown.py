"""How a worker ends."""

import signal

from support.waiting import until
from support.workers import rust_worker


def begun(lane, result):
    until(lambda: (lane.meta(result) or {}).get("status") == "STARTED", "it runs")


def test_term_lets_tasks_finish_and_returns_the_others_at_once(start, lane):
    worker = start(rust_worker, lane, concurrency=2)
    running = [lane.send("delayed_sum", [n], 1.5) for n in range(2)]
    for result in running:
        begun(lane, result)
    others = [lane.send("identity", n) for n in range(6)]
    until(lambda: lane.waiting() == 0, "the worker has reserved them")
    worker.signal(signal.SIGTERM)
    until(lambda: lane.waiting() == len(others), "they are back", 1)
    assert worker.running
    assert worker.wait(timeout=5) == 0
    assert [lane.meta(result)["result"] for result in running] == [0, 1]
    assert lane.held() == 0
    start(rust_worker, lane, concurrency=2)
    assert [result.get(timeout=10) for result in others] == list(range(6))


def late_task(start, lane):
    worker = start(rust_worker, lane, concurrency=1, settings={"task_acks_late": True})
    begun(lane, lane.send("sleeping", 60))
    return worker


def returned(lane, worker):
    worker.wait(timeout=3)
    return lane.waiting() == 1 and lane.held() == 0


def test_the_second_term_waits_for_nobody(start, lane):
    worker = late_task(start, lane)
    waiting = lane.send("identity", 1)
    until(lambda: lane.waiting() == 0, "it is reserved")
    worker.signal(signal.SIGTERM)
    until(lambda: lane.waiting() == 1, "the warm shutdown has begun", 2)
    assert worker.running
    worker.signal(signal.SIGTERM)
    worker.wait(timeout=3)
    assert lane.waiting() == 2 and lane.held() == 0
    assert lane.meta(waiting) is None


def test_quit_returns_a_running_late_task(start, lane):
    worker = late_task(start, lane)
    worker.signal(signal.SIGQUIT)
    worker.wait(timeout=3)
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
