"""Routes, exchanges and queues mean to a Rust worker what they mean to a Python worker."""

import json

import pytest
from celery import Celery, chain, uuid

from conftest import client
from support.broadcasts import queues
from support.lane import Lane, full_name
from support.rust_client import RustClient
from support.waiting import until
from support.workers import interop_worker, python_worker, rust_worker, toml

KINDS = [python_worker, rust_worker]
SEPARATOR = "\x06\x16"
STEP = full_name("identity")


class Sent:
    """Messages that a worker with these settings has sent, from the queues that got them."""

    def __init__(self, redis):
        self.redis = redis

    def take(self, queue):
        """The first that arrives, whatever its priority."""
        steps = [queue] + [f"{queue}{SEPARATOR}{step}" for step in (3, 6, 9)]
        found = []

        def arrived():
            found.extend(self.redis.client.lrange(key, 0, -1) for key in steps)
            return any(found)

        until(arrived, f"a message has arrived in {queue}")
        [message] = sum(found, [])
        return json.loads(message)


@pytest.fixture
def following(redis, tmp_path):
    """Has a worker of this kind, with these settings, send what follows a task."""
    workers = []

    def following(kind, settings, **options):
        app = client(redis)
        lane = Lane(app, redis, f"routing-{uuid()[:8]}")
        worker = kind(redis, redis, tmp_path, f"{kind.__name__}{len(workers)}", [lane.queue],
                      settings=settings)
        workers.append(worker)
        first = app.signature(full_name("add"), (1, 1), queue=lane.queue)
        step = app.signature(STEP)
        step.set(**options)
        return lane, chain(first, step).apply_async()

    yield following
    for worker in workers:
        worker.stop()


def bind(redis, exchange, key, queue, pattern=""):
    redis.client.sadd(f"_kombu.binding.{exchange}", SEPARATOR.join([key, pattern, queue]))


def routes(queue, exchange):
    """Each sends the task to `queue`, which is bound in `exchange` by `key`."""
    by_exchange = {"exchange": exchange, "routing_key": "key"}
    return {
        "a glob with a set": {"t.integration.tasks.[ai]*": {"queue": queue}},
        "a glob without": {"t.integration.tasks.[!b-z]*": "nobodys",
                           "t.integration.tasks.i*": queue},
        "an exchange and its key": {STEP: by_exchange},
        "a queue and a key that says nothing": {STEP: {"queue": queue, "routing_key": "other"}},
        "a way of sending": {STEP: {"queue": queue, "delivery_mode": 1, "priority": 6,
                                    "compression": "zlib", "headers": {"tenant": "a"}}},
        "several tables": [{"t.other": "nobodys"}, {STEP: queue}, {"*": "nobodys"}],
        "a list of pairs": [[["t.other*", "nobodys"], ["t.*", by_exchange], [STEP, queue]]],
    }


@pytest.mark.parametrize("case", routes("", ""))
def test_a_route_leads_where_it_leads_in_python(redis, following, case):
    sent = []
    for kind in KINDS:
        queue, exchange = f"elsewhere-{uuid()}", f"exchange-{uuid()}"
        bind(redis, exchange, "key", queue)
        if case == "a list of pairs" and kind is rust_worker:
            # Python's pairs are tuples; a name of its own goes before its globs.
            bind(redis, exchange, "other", queue)
        following(kind, {"task_routes": routes(queue, exchange)[case]})
        message = Sent(redis).take(queue)
        properties = message["properties"]
        address = {name: value.replace(queue, "queue").replace(exchange, "exchange")
                   for name, value in properties["delivery_info"].items()}
        sent.append([
            address, properties["delivery_mode"], properties["priority"],
            message["headers"].get("compression"), message["headers"].get("tenant"),
        ])
    assert sent[1] == sent[0]


#: What a call says beside its route, which names an exchange, and where it goes.
CALLS = {
    "nothing": ({}, "bound"),
    "a queue": ({"queue": "mine"}, "bound"),
    "another key": ({"routing_key": "other"}, "bound by other"),
    "another exchange": ({"exchange": "second"}, "in second"),
}


@pytest.mark.parametrize("case", CALLS)
def test_what_a_call_says_goes_before_its_route(redis, following, case):
    options, arrives = CALLS[case]
    for kind in KINDS:
        names = {name: f"{name}-{uuid()}" for name in
                 ["bound", "bound by other", "in second", "mine", "first", "second"]}
        bind(redis, names["first"], "key", names["bound"])
        bind(redis, names["first"], "other", names["bound by other"])
        bind(redis, names["second"], "key", names["in second"])
        given = {name: names.get(value, value) for name, value in options.items()}
        route = {"exchange": names["first"], "routing_key": "key"}
        following(kind, {"task_routes": {STEP: route}}, **given)
        assert Sent(redis).take(names[arrives])["headers"]["task"] == STEP


@pytest.mark.parametrize("routes, line, said", [
    ({STEP: {"quue": "elsewhere"}}, 2, "quue"),
    ({STEP: {"queue": {"name": "x"}}}, 2, "queue"),
    ({STEP: {"exchange": "x"}}, 2, "routing_key"),
    ({STEP: {"queue": "x", "retry": False}}, 2, "task_publish_retry"),
    ({STEP: {"queue": "x", "exchange_type": "headers"}}, 2, "headers"),
])
def test_a_route_that_cannot_be_is_refused_at_the_start(redis, tmp_path, routes, line, said):
    config = tmp_path / "routes.toml"
    config.write_text(toml({"task_routes": routes}))
    worker = rust_worker(redis, redis, tmp_path, "refused", ["nobodys"],
                         settings={"task_routes": routes})
    assert worker.wait(timeout=10) != 0
    text = worker.log.read_text()
    number = 1 + (tmp_path / "refused.toml").read_text().split(said)[0].count("\n") \
        if said in ("quue", "queue") else None
    assert "refused.toml:" in text and said in text
    assert number is None or f"refused.toml:{number}:" in text


#: Settings, the queues that a worker is told to consume, and those that one sends to.
DECLARED = {
    "a default exchange": (
        {"task_default_exchange": "shop", "task_default_routing_key": "goods",
         "task_default_queue": "QUEUE"},
        ["QUEUE"]),
    "a topic as the default exchange": (
        {"task_default_exchange": "shop", "task_default_exchange_type": "topic",
         "task_default_queue": "QUEUE"},
        ["QUEUE"]),
    "queues by their names": (
        {"task_queues": {"QUEUE": {"exchange": "shop", "routing_key": "goods"},
                         "QUEUEb": {"exchange": "shop", "exchange_type": "direct"},
                         "QUEUEc": {"exchange": "all", "exchange_type": "topic",
                                    "binding_key": "goods.#", "durable": True,
                                    "queue_arguments": {"x-max-priority": 10}},
                         "QUEUEd": {}}},
        ["QUEUE", "QUEUEb", "QUEUEc", "QUEUEd"]),
    "queues as a list": (
        {"task_default_exchange": "shop",
         "task_queues": [{"name": "QUEUE"}, {"name": "QUEUEb", "routing_key": "goods"},
                         {"name": "QUEUEc", "bindings": [
                             {"exchange": "shop", "routing_key": "sold"},
                             {"exchange": "all", "exchange_type": "topic",
                              "routing_key": "#.sold"}]}]},
        ["QUEUE", "QUEUEb", "QUEUEc"]),
    "another separator": (
        {"broker_transport_options": {"sep": ":"}, "task_default_queue": "QUEUE"}, ["QUEUE"]),
    "queues that are made as topics": (
        {"task_create_missing_queue_exchange_type": "topic"}, ["QUEUE"]),
}


@pytest.mark.parametrize("case", DECLARED)
def test_queues_are_bound_as_python_binds_them(redis, tmp_path, case):
    settings, consumed = DECLARED[case]
    seen = []
    for kind in KINDS:
        queue = f"queue{uuid()[:8]}"
        rename = lambda value: json.loads(
            json.dumps(value).replace("QUEUE", queue)
            .replace('"shop"', f'"shop-{queue}"').replace('"all"', f'"all-{queue}"'))
        node = f"{kind.__name__}-{queue}"
        worker = kind(redis, redis, tmp_path, node, rename(consumed), settings=rename(settings))
        try:
            worker.wait_for_log("ready.")
            app = client(redis)
            app.conf.broker_transport_options = settings.get("broker_transport_options", {})
            inspect = app.control.inspect([f"{node}@test"], timeout=2)
            until(lambda: inspect.active_queues(), "it answers")
            active = inspect.active_queues()[f"{node}@test"]
        finally:
            worker.stop()
        tables = {}
        for key in redis.client.keys(f"_kombu.binding.*{queue}*"):
            tables[key.replace(queue, "QUEUE")] = sorted(
                member.replace(queue, "QUEUE") for member in redis.client.smembers(key))
        shown = json.loads(json.dumps(active).replace(queue, "QUEUE"))
        keep = lambda entry: (
            entry["name"], entry["exchange"] and entry["routing_key"],
            entry["exchange"] and (entry["exchange"]["name"], entry["exchange"]["type"]),
            # Python keeps them in a set.
            sorted(each["routing_key"] for each in entry["bindings"] or []))
        seen.append((sorted(map(keep, shown)), tables))
    assert seen[1] == seen[0]


def test_a_topic_queue_is_sent_to_by_its_exchange(redis, following):
    """Even if nobody consumes it yet; and by another key to those whose patterns fit."""
    sent = []
    for kind in KINDS:
        name = uuid()[:8]
        topic = {"exchange": f"orders-{name}", "exchange_type": "topic"}
        queues = {f"new-{name}": {**topic, "routing_key": "orders.new"},
                  f"any-{name}": {**topic, "routing_key": "orders.#"}}
        following(kind, {"task_queues": queues}, queue=f"new-{name}")
        address = Sent(redis).take(f"new-{name}")["properties"]["delivery_info"]
        sent.append({key: value.replace(name, "") for key, value in address.items()})
        bind(redis, f"orders-{name}", "orders.#", f"any-{name}", r"^orders\..*?$")
        following(kind, {"task_queues": queues}, queue=f"new-{name}", routing_key="orders.old")
        address = Sent(redis).take(f"any-{name}")["properties"]["delivery_info"]
        sent.append({key: value.replace(name, "") for key, value in address.items()})
    assert sent[2:] == sent[:2]


def test_a_queue_that_is_not_there_is_an_error(redis, following, tmp_path):
    ends = []
    for kind in KINDS:
        name = f"known-{uuid()[:8]}"
        settings = {"task_create_missing_queues": False}
        lane, result = following(kind, {**settings, "task_queues": {name: {}}}, queue="nowhere")
        worker = kind(redis, redis, tmp_path, f"{kind.__name__}-{name}", [name],
                      settings={**settings, "task_queues": {name: {}}})
        lane.queue = name
        try:
            first = lane.app.signature(full_name("add"), (1, 1), queue=name)
            result = chain(first, lane.app.signature(STEP, queue="nowhere")).apply_async()
            until(lambda: result.parent.ready(), "the first has ended")
            meta = lane.meta(result.parent)
            ends.append((meta["status"], meta["result"]["exc_type"], meta["result"]["exc_message"]))
        finally:
            worker.stop()
    assert ends[1] == ends[0]


def test_a_worker_is_not_told_to_consume_what_is_not_there(redis, tmp_path):
    settings = {"task_create_missing_queues": False, "task_queues": {"known": {}}}
    for kind in KINDS:
        worker = kind(redis, redis, tmp_path, kind.__name__, ["unknown"], settings=settings)
        assert worker.wait(timeout=20) != 0
        assert "unknown" in worker.log.read_text()


def test_a_client_is_told_at_once(redis, tmp_path):
    rust = RustClient(tmp_path, redis.url, task_create_missing_queues=False,
                      task_queues={"known": {}})
    try:
        answer = rust.send(Celery().signature(STEP, (1,), queue="nowhere"))
        assert "'nowhere' missing from task_queues" in answer["error"]
    finally:
        rust.stop()
