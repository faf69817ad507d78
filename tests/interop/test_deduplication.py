"""A task that has succeeded does not run again when it is delivered again."""

import pytest

from celery import chain

from support.lane import full_name
from support.waiting import until
from support.workers import rust_worker


@pytest.mark.parametrize("asked, expected", [(True, "first-pass"), (False, "dedup-pass")])
def test_a_success_is_not_repeated(lane, redis, tmp_path, asked, expected):
    settings = {"worker_deduplicate_successful_tasks": asked}
    worker = rust_worker(redis, redis, tmp_path, "careful", [lane.queue], 1, settings)
    try:
        tasks = [
            lane.app.signature(full_name(name), queue=lane.queue)
            for name in ("store_success_then_reject", "identity")
        ]
        last = chain(*tasks).apply_async()
        # What follows is sent with the result of the run that counts.
        assert last.get(timeout=15) == expected
        worker.wait_for_log(f"identity[{last.id}] succeeded")
        # Received, rejected, received again, and succeeded: said after it is sent on.
        said = lambda: worker.log.read_text().count("store_success_then_reject[")
        until(lambda: said() >= 4, "both runs have ended")
        log = worker.log.read_text()
        assert said() == 4, log
        assert ("already completed" in log) == asked
        until(lambda: lane.held() == 0, "the message is acknowledged")
    finally:
        worker.stop()
