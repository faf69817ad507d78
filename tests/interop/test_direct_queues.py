"""A queue for each worker alone: `worker_direct`."""

import pytest
from celery import uuid
from celery.utils.nodenames import worker_direct

from support.lane import full_name
from support.workers import python_worker, rust_worker


@pytest.mark.parametrize("kind", [python_worker, rust_worker])
def test_a_worker_has_a_queue_of_its_own(lane, start, kind):
    worker = start(kind, lane, settings={"worker_direct": True})
    node, app = f"{worker.name}@test", lane.app
    by_queue = app.send_task(full_name("add"), [1, 2], queue=worker_direct(node))
    by_exchange = app.send_task(full_name("add"), [1, 3], exchange="C.dq2", routing_key=node)
    assert by_queue.get(timeout=15) == 3
    assert by_exchange.get(timeout=15) == 4
    [own] = [queue for queue in app.control.inspect([node], timeout=3).active_queues()[node]
             if queue["name"].endswith(".dq2")]
    assert own["name"] == f"{node}.dq2" and own["routing_key"] == node
    assert (own["exchange"]["name"], own["exchange"]["type"]) == ("C.dq2", "direct")
    bound = lane.redis.client.smembers("_kombu.binding.C.dq2")
    assert "\x06\x16".join([node, "", f"{node}.dq2"]) in bound


@pytest.mark.parametrize("kind", [python_worker, rust_worker])
def test_without_it_there_is_none(lane, start, kind):
    worker = start(kind, lane)
    node = f"{worker.name}@test"
    assert "C.dq2" not in str(lane.app.control.inspect([node], timeout=3).active_queues())
