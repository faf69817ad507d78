"""Where a Rust worker sends what its tasks and canvases call."""

import json

import pytest
from celery import chain, chord, uuid
from kombu import Exchange, Queue

from support.lane import full_name
from support.waiting import until


def test_a_router_says_where_what_follows_a_task_goes(app, rust, python):
    def identity(*args, **options):
        return app.signature("t.integration.tasks.identity", args=args, options=options)

    # The interop worker has a router that looks at the first argument.
    value = {"by_router": python.queue}
    result = (identity(value, queue=rust.queue) | identity()).apply_async()
    assert result.get(timeout=15) == value
    assert rust.meta(result.parent)["worker"] == "rust_worker@test"
    assert python.meta(result)["worker"] == "python_worker@test"


@pytest.fixture
def bound(app, redis):
    """An exchange of this type, and the names of queues bound to it by these keys."""

    def bind(type, *keys):
        exchange = Exchange(f"exchange-{uuid()}", type=type)
        names = [f"bound-{uuid()}" for _ in keys]
        with app.connection_for_write() as connection:
            for name, key in zip(names, keys):
                Queue(name, exchange, routing_key=key)(connection).declare()
        return exchange.name, names

    return bind


def followed(lane, how, **options):
    """Has a task that another follows, which these options send on."""
    first, step = (
        lane.app.signature(full_name(name), args, queue=lane.queue)
        for name, args in [("add", (1, 1)), ("identity", ())]
    )
    step.set(**options)
    if how == "chain":
        chain(first, step).apply_async()
    elif how == "link":
        first.apply_async(link=step)
    else:
        chord([first], step).apply_async()


@pytest.mark.parametrize("how", ["chain", "link", "chord"])
def test_what_follows_goes_to_the_exchange_that_it_names(python, rust, redis, bound, how):
    addresses = []
    for lane in python, rust:
        exchange, [first, second, other] = bound("direct", "key", "key", "other")
        followed(lane, how, exchange=exchange, routing_key="key", priority=3)
        arrived = lambda queue: redis.client.lrange(f"{queue}\x06\x163", 0, -1)
        until(lambda: arrived(first) and arrived(second), "it has arrived")
        assert not arrived(other)
        address = json.loads(arrived(first)[0])["properties"]["delivery_info"]
        assert address.pop("exchange") == exchange
        addresses.append(address)
    assert addresses[1] == addresses[0] == {"routing_key": "key"}


def test_a_routing_key_without_an_exchange_says_nothing(python, rust, redis, bound):
    for lane in python, rust:
        queue = f"queue-{uuid()}"
        followed(lane, "chain", queue=queue, routing_key="key")
        until(lambda: redis.client.llen(queue), "it has arrived")


def test_a_topic_is_matched(rust, redis, bound):
    """As by a Python producer that has declared the exchange."""
    exchange, [every, one, none] = bound("topic", "orders.#", "orders.*", "orders.*.*")
    followed(rust, "link", exchange=exchange, routing_key="orders.new")
    until(lambda: redis.client.llen(every) and redis.client.llen(one), "it has arrived")
    assert not redis.client.llen(none)


def test_what_nothing_is_bound_for_is_dropped(python, rust, redis):
    for lane in python, rust:
        key = f"nowhere-{uuid()}"
        link = lane.app.signature(full_name("identity"), queue=lane.queue)
        first = lane.apply("add", (1, 1), link=link.set(exchange=key, routing_key=key))
        first.get(timeout=10)
        [[[sent, _], _]] = lane.meta(first)["children"]
        # Neither to the queue of that name nor to the one without an exchange.
        assert lane.call("identity", "later") == "later"
        assert not redis.client.exists(key)
        assert lane.app.AsyncResult(sent).state == "PENDING"
