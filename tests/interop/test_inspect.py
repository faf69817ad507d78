"""What is asked of a worker is answered by a Rust worker as by a Python one."""

import json
import re
import statistics
import time

import pytest
import redis as redis_client
from celery import uuid

from support.lane import Lane
from support.waiting import until
from support.workers import python_worker, rust_worker

KINDS = (python_worker, rust_worker)


@pytest.fixture(scope="module")
def busy(app, redis, tmp_path_factory):
    """A Python and a Rust worker, each with two tasks that run, one that waits
    for a slot and one that waits for its eta."""
    directory = tmp_path_factory.mktemp("busy")
    lanes = [Lane(app, redis, f"busy-{uuid()[:8]}") for _ in KINDS]
    workers = [
        kind(redis, redis, directory, f"busy-{kind.__name__}", [lane.queue], concurrency=2,
             settings={"control_queue_expires": 40})
        for kind, lane in zip(KINDS, lanes)
    ]
    try:
        for worker, lane in zip(workers, lanes):
            worker.wait_for_log("ready.")
            lane.node = f"{worker.name}@test"
            lane.call("identity", 0)
            lane.running = [lane.apply("sleeping", [600], {"key": "value"}) for _ in range(2)]
            for task in lane.running:
                until(lambda: (lane.meta(task) or {}).get("status") == "STARTED", "it runs")
            lane.reserved = lane.send("identity", 1)
            lane.scheduled = lane.apply("add", [1], {"y": 2}, countdown=600, priority=3)
            until(lambda: lane.waiting() == 0, "the worker has reserved them")
        yield lanes
    finally:
        for worker in workers:
            worker.kill()


def ask(lane, command, **arguments):
    answers = lane.app.control.broadcast(
        command, arguments=arguments, reply=True, destination=[lane.node], timeout=5
    )
    return answers[0][lane.node]


def comparable(lane, answer):
    """An answer without what is each worker's own."""
    text = json.dumps(answer)
    names = {task.id: f"<running {n}>" for n, task in enumerate(lane.running)}
    names |= {lane.reserved.id: "<reserved>", lane.scheduled.id: "<scheduled>"}
    names |= {lane.queue: "<queue>", lane.node: "<node>"}
    for name, shown in names.items():
        text = text.replace(name, shown)
    text = re.sub(r'("(time_start|worker_pid)": )[0-9.]+', r"\g<1>0", text)
    answer = json.loads(re.sub(r'"eta": "[^"]*"', lambda eta: re.sub(r"\d", "0", eta[0]), text))
    # A set, as Python keeps it, has no order.
    return sorted(answer, key=str) if isinstance(answer, list) else answer


@pytest.mark.basic
@pytest.mark.parametrize(
    "command, arguments",
    [
        ("ping", {}),
        ("active", {}),
        ("active", {"safe": True}),
        ("reserved", {}),
        ("scheduled", {}),
        ("dump_schedule", {}),
        ("revoked", {}),
        ("active_queues", {}),
        ("objgraph", {}),
        ("no_such_command", {}),
    ],
)
def test_answered_as_by_python(busy, command, arguments):
    theirs, ours = (comparable(lane, ask(lane, command, **arguments)) for lane in busy)
    assert ours == theirs


def test_a_task_is_found_by_its_id(busy):
    def found(lane):
        ids = [lane.running[0].id, lane.reserved.id, lane.scheduled.id, "unknown"]
        return comparable(lane, ask(lane, "query_task", ids=ids))

    theirs, ours = map(found, busy)
    assert ours == theirs


@pytest.mark.parametrize(
    "items", [None, ["name", "max_retries", "acks_late", "ignore_result", "serializer"]]
)
def test_registered_tasks_are_described_as_by_python(busy, items):
    lists = [ask(lane, "registered", taskinfoitems=items) for lane in busy]
    both = set.intersection(*({line.split(" ")[0] for line in lines} for lines in lists))
    both -= {"auto_retry_class_task"}  # Python counts its retries elsewhere
    theirs, ours = ([line for line in lines if line.split(" ")[0] in both] for lines in lists)
    assert len(both) > 20 and ours == theirs


def test_stats_have_the_shape_that_flower_reads(busy):
    theirs, ours = (ask(lane, "stats") for lane in busy)
    assert ours.keys() == theirs.keys()
    assert ours["rusage"].keys() == theirs["rusage"].keys()
    assert ours["pool"].keys() == theirs["pool"].keys()
    for name in ("total", "prefetch_count"):
        assert ours[name] == theirs[name]
    assert ours["pool"]["max-concurrency"] == 2
    # As they are written: 0 is not 0.0.
    assert str(ours["pool"]["timeouts"]) == str(theirs["pool"]["timeouts"])
    assert type(ours["clock"]) is str and type(ours["uptime"]) is int
    own = {"heartbeat", "transport_options"}
    assert {k: v for k, v in ours["broker"].items() if k not in own} == {
        k: v for k, v in theirs["broker"].items() if k not in own
    }


def test_the_rest_is_answered_sensibly(busy):
    _, lane = busy
    conf = ask(lane, "conf")
    assert conf["result_extended"] is True and "timezone" not in conf
    # Celery has no default time zone: UTC, or the machine's without enable_utc.
    defaults = ask(lane, "conf", with_defaults=True)
    assert defaults["enable_utc"] is True and defaults["timezone"] is None
    assert "celeriac:" in ask(lane, "report")["ok"]
    assert ask(lane, "clock")["clock"] > 0
    assert ask(lane, "memsample").endswith("MB")
    assert ask(lane, "memdump").startswith("- rss")


def test_answers_come_at_once_although_every_slot_is_busy(busy, report):
    times = []
    for _ in range(20):
        began = time.perf_counter()
        ask(busy[1], "ping")
        times.append(time.perf_counter() - began)
    report("ping while busy", f"median {statistics.median(times) * 1e3:.1f} ms, worst {max(times) * 1e3:.1f} ms")
    assert statistics.median(times) < 0.5


def test_only_those_who_are_meant_answer(busy):
    _, lane = busy
    other = "other@test"

    def who(**whom):
        # Shorter than a second, kombu's client misses every other answer.
        answers = lane.app.control.broadcast("ping", reply=True, timeout=1.5, **whom)
        return [node for answer in answers for node in answer if node == lane.node]

    me, nobody = [lane.node], []
    assert who() == me
    assert who(destination=[other]) == nobody
    assert who(destination=[other, lane.node]) == me
    assert who(pattern="busy-r*@test", matcher="glob") == me
    assert who(pattern="*@elsewhere", matcher="glob") == nobody
    assert who(pattern="busy-(rust|c).*", matcher="pcre") == me
    assert who(pattern="rust", matcher="pcre") == nobody


def test_a_reply_that_nobody_collects_expires(busy, redis):
    _, lane = busy
    exchange, address = "reply.celery.pidbox", uuid()
    queue = f"{address}.{exchange}"
    redis.client.sadd(f"_kombu.binding.{exchange}", f"{address}\x06\x16\x06\x16{queue}")
    mailbox = lane.app.control.mailbox
    with lane.app.connection_for_write() as connection, connection.Producer() as producer:
        producer.publish(
            {"method": "ping", "arguments": {}, "destination": [lane.node], "ticket": "t",
             "reply_to": {"exchange": exchange, "routing_key": address}},
            exchange=mailbox.exchange, declare=[mailbox.exchange],
        )
    until(lambda: redis.client.llen(queue) == 1, "the reply is there")
    assert 10 < redis.client.ttl(queue) <= 40
    redis.client.srem(f"_kombu.binding.{exchange}", f"{address}\x06\x16\x06\x16{queue}")


def test_keys_and_channels_have_the_global_prefix(redis, tmp_path):
    from conftest import client

    prefix = {"broker_transport_options": {"global_keyprefix": "prefixed."}}
    worker = rust_worker(redis, redis, tmp_path, "prefixed", ["prefixed"], settings=prefix)
    app = client(redis)
    app.conf.update(prefix)
    try:
        worker.wait_for_log("ready.")
        ping = lambda control: control.ping(destination=["prefixed@test"], timeout=1.5)
        assert ping(app.control) == [{"prefixed@test": {"ok": "pong"}}]
        assert not ping(client(redis).control)
    finally:
        worker.stop()


def test_the_mailbox_survives_a_lost_connection(durable_redis, redis, tmp_path):
    from conftest import client

    worker = rust_worker(durable_redis, redis, tmp_path, "outage", ["lane"])
    try:

        def ping():
            # A new client each time: the old one's connections are lost, too.
            control = client(durable_redis).control
            try:
                return control.ping(destination=["outage@test"], timeout=0.5)
            except redis_client.ConnectionError:
                return None

        until(ping, "it answers")
        durable_redis.kill()
        durable_redis.start()
        until(ping, "it answers again", 20)
    finally:
        worker.stop()
