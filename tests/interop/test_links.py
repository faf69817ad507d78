"""What follows a task's end: the rest of its chain, callbacks and errbacks."""

import pytest
from celery import chain, uuid

from support.lane import full_name
from support.waiting import until

pytestmark = pytest.mark.basic


@pytest.fixture
def echoed(redis):
    """A key where tasks leave marks, and what they have left."""
    key = f"echo-{uuid()}"
    return key, lambda: redis.client.lrange(key, 0, -1)


def signature(lane, name, *args, **options):
    return lane.app.signature(full_name(name), args, **{"queue": lane.queue, **options})


def test_a_chain_hands_each_result_on(rust):
    add = [signature(rust, "add", *args) for args in [(1, 2), (10,), (100,)]]
    last = chain(*add).apply_async()
    assert last.get(timeout=10) == 113
    assert (last.parent.get(timeout=5), last.parent.parent.get(timeout=5)) == (13, 3)
    first, second = rust.meta(last.parent.parent), rust.meta(last.parent)
    assert first["children"] == [[[last.parent.id, None], None]]
    assert second["parent_id"] == last.parent.parent.id


def test_a_chain_ends_where_it_fails(rust):
    last = chain(
        signature(rust, "add", 1, 2), signature(rust, "raise_error", immutable=True),
        signature(rust, "add", 3),
    ).apply_async()
    # Whoever waits for the last hears of it, too.
    for result in last.parent, last:
        with pytest.raises(ValueError, match="deliberate error"):
            result.get(timeout=10)


def test_a_callback_gets_the_result(rust, echoed):
    key, marks = echoed
    echo = signature(rust, "redis_echo", kwargs={"redis_key": key})
    rust.apply("identity", ("done",), link=echo)
    until(lambda: marks() == ["done"], "the callback")


def test_an_errback_gets_the_id_of_the_failed(rust, echoed):
    key, marks = echoed
    echo = signature(rust, "redis_echo", kwargs={"redis_key": key})
    failed = rust.apply("raise_error", link_error=echo)
    with pytest.raises(ValueError):
        failed.get(timeout=10)
    until(lambda: marks() == [failed.id], "the errback")
