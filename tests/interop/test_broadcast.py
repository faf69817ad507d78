"""What is sent to a broadcast queue is run by every worker, once."""

import re

import pytest

from support.broadcasts import Channel, runs
from support.lane import Lane
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import python_worker, rust_worker


@pytest.fixture
def own_redis(tmp_path):
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def news(own_redis):
    return Channel(own_redis)


@pytest.fixture
def hearing(start, news):
    """Starts a worker that hears the news."""

    def hearing(kind, **settings):
        lane = Lane(news.app, news.redis, news.queue)
        worker = start(kind, lane, settings={**news.settings, **settings})
        worker.wait_for_log("ready.")
        return worker

    return hearing


def once_by_each(workers, ids):
    """Every worker has begun each task once."""
    def last():
        return all(runs(worker, ids[-1]) for worker in workers)

    until(last, "all have begun the last one")
    for worker in workers:
        assert [runs(worker, id) for id in ids] == [1] * len(ids), worker.name


def nothing_waits(news):
    """Neither in a queue nor in anybody's hands, so that nothing is run later."""
    client = news.redis.client
    until(lambda: not client.keys("bcast.*") and not client.hlen("unacked"), "all is run")


def ask(worker, news, command, **arguments):
    node = f"{worker.name}@test"
    answers = news.app.control.broadcast(
        command, arguments=arguments, reply=True, destination=[node], timeout=5)
    return answers[0][node]


def test_all_run_once_what_a_declared_producer_sends(news, hearing):
    workers = [hearing(kind) for kind in (rust_worker, rust_worker, python_worker)]
    ids = [news.send(n, declared=True, priority=n % 4 * 3).id for n in range(8)]
    for worker in workers:
        until(lambda: all(runs(worker, id) for id in ids), "all are begun")
    nothing_waits(news)
    for worker in workers:
        assert [runs(worker, id) for id in ids] == [1] * len(ids), worker.name


def test_rust_workers_run_what_a_producer_sends_that_knows_no_exchange(news, hearing):
    workers = [hearing(rust_worker), hearing(rust_worker)]
    ids = [news.send(n, declared=False).id for n in range(5)]
    once_by_each(workers, ids)
    nothing_waits(news)
    once_by_each(workers, ids)


def test_what_a_rust_task_sends_reaches_all(news, hearing):
    workers = [hearing(kind) for kind in (rust_worker, rust_worker, python_worker)]
    node = f"{workers[0].name}@test"
    lane = Lane(news.app, news.redis, f"own-{news.queue}")
    assert ask(workers[0], news, "add_consumer", queue=lane.queue)["ok"]
    relay = lane.send("rusty.relay", "t.integration.tasks.return_properties", [], news.queue)
    properties = relay.get(timeout=15)
    assert properties["delivery_info"] == {"exchange": news.queue, "routing_key": "celery"}
    assert lane.meta(relay)["worker"] == node
    [[[child, _], _]] = lane.meta(relay)["children"]
    once_by_each(workers, [child])


def test_nothing_is_left_when_a_worker_ends(news, hearing):
    workers = [hearing(rust_worker), hearing(rust_worker)]
    assert len(news.bound()) == 2
    news.send("held", declared=True, countdown=600)
    until(lambda: news.redis.client.hlen("unacked") == 2, "both hold it")
    for worker in workers:
        assert worker.stop() == 0
    assert news.left() == [] and not news.redis.client.hlen("unacked")


def test_others_clear_up_after_a_killed_worker(news, hearing):
    short = {"broker_transport_options": {"worker_lease": 1}}
    dead, alive = hearing(rust_worker, **short), hearing(rust_worker, **short)
    news.send("held", declared=True, countdown=600)
    until(lambda: news.redis.client.hlen("unacked") == 2, "both hold it")
    dead.kill()
    news.send("waiting", declared=False)
    until(lambda: len(news.bound()) == 1, "its queue is unbound")
    [queue] = news.bound()
    until(lambda: set(news.redis.client.keys("bcast.*")) <= {queue}, "its lists are deleted")
    once_by_each([alive], [news.send("alive", declared=declared).id for declared in (0, 1)])


def test_it_is_heard_again_after_redis_has_forgotten_all(news, hearing):
    worker = hearing(rust_worker)
    news.redis.stop()
    news.redis.start()
    until(news.bound, "it is bound again")
    once_by_each([worker], [news.send(0, declared=False).id])
    until(lambda: news.redis.client.pubsub_numpat() + sum(
        count for _, count in news.redis.client.pubsub_numsub(f"/0.{news.queue}/celery")),
        "it has subscribed again")
    once_by_each([worker], [news.send(1, declared=True).id])


def test_a_worker_joins_and_leaves_as_it_is_told(news, start):
    lane = Lane(news.app, news.redis, f"other-{news.queue}")
    worker = start(rust_worker, lane, settings=news.settings)
    assert news.bound() == []
    ask(worker, news, "add_consumer", queue=news.queue)
    until(news.bound, "it is bound")
    once_by_each([worker], [news.send(n, declared=n).id for n in (0, 1)])
    ask(worker, news, "cancel_consumer", queue=news.queue)
    until(lambda: news.bound() == [], "it is unbound")
    unheard = news.send(2, declared=True)
    assert lane.call("identity", 3) == 3
    assert runs(worker, unheard.id) == 0


def test_active_queues_shows_it_as_python_does(news, hearing):
    answers = []
    for kind in (rust_worker, python_worker):
        queues = ask(hearing(kind), news, "active_queues")
        queues = [queue for queue in queues if queue["alias"] == news.queue]
        assert re.fullmatch(r"bcast\.[0-9a-f-]{36}", queues[0]["name"])
        assert queues[0]["name"] in news.bound()
        assert queues[0]["queue"] == queues[0]["name"]
        answers.append([{**queue, "name": "", "queue": ""} for queue in queues])
    assert answers[0] == answers[1]
