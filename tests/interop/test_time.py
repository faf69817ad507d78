"""Tasks that wait, expire, or take too long."""

from datetime import datetime, timedelta, timezone

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded

from support.waiting import until
from support.workers import rust_worker


def test_waiting_for_eta_takes_no_slot(start, lane):
    start(rust_worker, lane, concurrency=1)
    eta = datetime.now(timezone.utc) + timedelta(seconds=3)
    later = [lane.apply("identity", [n], eta=eta) for n in range(20)]
    assert [lane.call("identity", n) for n in range(5)] == list(range(5))
    assert not any(lane.meta(result) for result in later)
    assert datetime.now(timezone.utc) < eta
    assert [result.get(timeout=10) for result in later] == list(range(20))
    assert min(result.date_done for result in later) >= eta


def test_no_more_than_the_eta_limit_wait_beside_the_prefetched(start, lane):
    few = {"worker_eta_task_limit": 2, "worker_prefetch_multiplier": 1}
    start(rust_worker, lane, concurrency=1, settings=few)
    later = [lane.apply("identity", [n], countdown=3) for n in range(6)]
    # Two are held; a third has the only place among the prefetched.
    until(lambda: lane.held() == 3, "the limit is reached", 2)
    assert lane.waiting() == 3
    assert [result.get(timeout=10) for result in later] == list(range(6))


def test_eta_without_a_zone_is_utc(rust):
    eta = (datetime.now(timezone.utc) - timedelta(seconds=1)).replace(tzinfo=None)
    assert rust.apply("identity", [1], eta=eta.isoformat()).get(timeout=5) == 1


def test_a_task_that_expires_while_it_waits_is_not_run(rust, redis):
    key = f"expired-{rust.queue}"
    result = rust.apply("redis_echo", ["x", key], countdown=0.6, expires=0.3)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=5)
    assert result.state == "REVOKED"
    assert redis.client.llen(key) == 0


def test_the_hard_limit_ends_a_task(rust):
    with pytest.raises(TimeLimitExceeded):
        rust.apply("sleeping", [30], time_limit=0.3).get(timeout=5)


def test_the_soft_limit_ends_a_task_that_does_not_listen(rust):
    with pytest.raises(SoftTimeLimitExceeded):
        rust.apply("sleeping", [30], soft_time_limit=0.3).get(timeout=5)


def test_the_soft_limit_lets_a_task_that_listens_finish(rust):
    guarded = rust.apply(
        "delayed_sum_with_soft_guard", [[1, 2]], {"pause_time": 30}, soft_time_limit=0.3
    )
    assert guarded.get(timeout=5) == 0


def test_a_task_within_its_limits_is_left_alone(rust):
    within = rust.apply(
        "delayed_sum", [[1, 2]], {"pause_time": 0.1}, soft_time_limit=5, time_limit=10
    )
    assert within.get(timeout=5) == 3
