"""What is told round each run, as by the methods of a Python task's class; layers round the
function; and what is called when a worker is ready and when it ends."""

import signal

import pytest
from celery import Celery, uuid

from support.lane import Lane
from support.process import Process
from support.waiting import until
from support.workers import environment, example, python_worker


@pytest.fixture
def shop(redis, tmp_path):
    """A lane of the example `hooks`."""
    app = Celery(broker=redis.url, backend=redis.url, set_as_current=False)
    lane = Lane(app, redis, f"shop-{uuid()[:8]}")
    redis.client.delete("orders", "journal:worker")
    argv = [example("hooks"), "--broker", redis.url, "--backend", redis.url, "-Q", lane.queue,
            "--journal", redis.url]
    lane.worker = Process("shop", argv, tmp_path, environment(redis, redis))
    lane.worker.wait_for_log("ready.")
    yield lane
    lane.worker.stop()


def journal(lane, result, ends):
    """What was told of it, once it has ended."""
    read = lambda: lane.redis.client.lrange(f"journal:{result.id}", 0, -1)
    until(lambda: read()[-1:] == [f"after_return {ends}"], "it is told")
    return read()


#: How an order goes, its state in the end, and what is ordered then.
WAYS = {"well": ("SUCCESS", 1), "fail": ("FAILURE", 0), "later": ("SUCCESS", 1), "never": ("FAILURE", 0)}


@pytest.mark.parametrize("way", WAYS)
def test_runs_are_told_as_by_python(shop, start, lane, redis, way):
    state, orders = WAYS[way]
    theirs, ours = lane.send("shop.order", "tea", way), shop.send("shop.order", "tea", way)
    start(python_worker, lane, app="support.shop")
    assert journal(shop, ours, state) == journal(lane, theirs, state)
    assert redis.client.llen("orders") == orders


def test_what_is_ignored_is_only_begun(shop):
    ignored = shop.send("shop.order", "tea", "ignore")
    until(lambda: f"{ignored.id}] ignored" in shop.worker.log.read_text(), "it is ignored")
    assert shop.redis.client.lrange(f"journal:{ignored.id}", 0, -1) == ["before_start"]


def test_a_hook_may_end_a_run_before_it_begins(shop):
    refused = shop.send("shop.order", "nothing")
    with pytest.raises(ValueError, match="nothing to order"):
        refused.get(timeout=10)
    told = journal(shop, refused, "FAILURE")
    assert told[0] == "before_start" and "nothing to order" in told[1]
    assert shop.redis.client.llen("orders") == 0


def test_a_layer_goes_along_into_a_child(shop):
    assert shop.call("shop.order_apart", "coffee") == 6
    assert shop.redis.client.lrange("orders", 0, -1) == ["coffee"]


def test_a_worker_says_when_it_is_ready_and_when_it_ends(shop):
    running = shop.send("shop.order", "tea")
    assert running.get(timeout=10) == 3
    shop.worker.signal(signal.SIGTERM)
    assert shop.worker.wait() == 0
    assert shop.redis.client.lrange("journal:worker", 0, -1) == ["ready", "shutting down"]
