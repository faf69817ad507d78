"""`celery control` steers a Rust worker as it does a Python one."""

import json

import pytest
from celery import chain, uuid
from celery.exceptions import TaskRevokedError, TimeLimitExceeded
from kombu import Exchange

from support.lane import Lane
from support.monitor import monitoring
from support.twins import UUID
from support.waiting import until
from support.workers import python_worker, rust_worker, until_listening

IDENTITY = "t.integration.tasks.identity"


def ask(lane, worker, command, **arguments):
    node = f"{worker.name}@test"
    answers = lane.app.control.broadcast(
        command, arguments=arguments, reply=True, destination=[node], timeout=5
    )
    return answers[0][node]


def status(lane, result):
    return (lane.meta(result) or {}).get("status")


def running(lane, *results):
    for result in results:
        until(lambda: status(lane, result) == "STARTED", "it runs")


@pytest.fixture(scope="module")
def steered(app, redis, tmp_path_factory):
    """A lane and a worker of each kind, for commands whose effect is small."""
    directory = tmp_path_factory.mktemp("steered")
    pairs = []
    for kind in (python_worker, rust_worker):
        lane = Lane(app, redis, f"steered-{uuid()[:8]}")
        worker = kind(redis, redis, directory, f"steered-{kind.__name__}", [lane.queue])
        pairs.append((lane, worker))
    try:
        until_listening(app, *(f"{worker.name}@test" for _, worker in pairs))
        yield pairs
    finally:
        for _, worker in pairs:
            worker.stop()


COMMANDS = [
    ("rate_limit", {"task_name": IDENTITY, "rate_limit": "10/m"}),
    ("rate_limit", {"task_name": IDENTITY, "rate_limit": 0}),
    ("rate_limit", {"task_name": IDENTITY, "rate_limit": "0"}),
    ("rate_limit", {"task_name": IDENTITY, "rate_limit": "x/m"}),
    ("rate_limit", {"task_name": IDENTITY, "rate_limit": "1/y"}),
    ("rate_limit", {"task_name": "unknown", "rate_limit": "1/s"}),
    ("time_limit", {"task_name": IDENTITY, "hard": 10, "soft": 5.5}),
    ("time_limit", {"task_name": "unknown"}),
    ("enable_events", {}),
    ("disable_events", {}),
    ("disable_events", {}),
    ("heartbeat", {}),
    ("pool_grow", {"n": 1}),
    ("pool_shrink", {"n": 1}),
    ("pool_restart", {}),
    ("autoscale", {"max": 3, "min": 1}),
    ("add_consumer", {"queue": "steered-other"}),
    ("cancel_consumer", {"queue": "steered-other"}),
    ("revoke", {"task_id": "one"}),
    ("revoke", {"task_id": ["one"]}),
    ("revoke", {"task_id": []}),
    ("revoke", {"task_id": "one", "terminate": True}),
    ("revoke", {"task_id": "one", "terminate": True, "signal": "NOSUCH"}),
    ("terminate", {"task_id": "one"}),
    ("terminate", {"task_id": "one", "signal": "KILL"}),
    ("revoke_by_stamped_headers", {"headers": {"tenant": ["it's", "two"]}}),
    ("revoke_by_stamped_headers", {"headers": ["tenant=one"], "terminate": True}),
]


@pytest.mark.parametrize("command, arguments", COMMANDS, ids=[str(c) for c in COMMANDS])
def test_answered_as_by_python(steered, command, arguments):
    theirs, ours = (ask(*pair, command, **arguments) for pair in steered)
    assert ours == theirs


@pytest.mark.parametrize("terminate", [False, True])
def test_a_revoked_id_that_nobody_has_is_stored_as_by_python(steered, redis, terminate):
    stored = []
    for lane, worker in steered:
        id = f"unknown-{worker.name}"
        ask(lane, worker, "revoke", task_id=id, terminate=terminate)
        meta = lane.meta(lane.app.AsyncResult(id))
        assert meta.pop("task_id") == id and meta.pop("date_done")
        stored.append(meta)
    assert stored[1] == stored[0]


def test_a_result_that_is_there_survives_a_revoke(steered):
    lane, worker = steered[1]
    result = lane.send("identity", 1)
    result.get(timeout=5)
    ask(lane, worker, "revoke", task_id=result.id)
    assert lane.meta(result)["status"] == "SUCCESS"


def test_a_task_that_waits_for_its_eta_is_dropped_at_once(steered):
    lane, worker = steered[1]
    results = [lane.apply("identity", [n], countdown=600) for n in range(3)]
    until(lambda: lane.held() == 3, "it holds them")
    ask(lane, worker, "revoke", task_id=[result.id for result in results[:2]])
    for result in results[:2]:
        with pytest.raises(TaskRevokedError):
            result.get(timeout=5)
    until(lambda: lane.held() == 1, "their messages are gone")
    assert lane.meta(results[2]) is None
    ask(lane, worker, "revoke", task_id=results[2].id)


def test_a_task_that_is_revoked_before_it_is_received_does_not_run(steered, redis):
    lane, worker = steered[1]
    id, key = uuid(), f"revoked-{lane.queue}"
    ask(lane, worker, "revoke", task_id=id)
    result = lane.apply("redis_count", [], {"redis_key": key}, task_id=id)
    until(lambda: lane.waiting() == 0 and lane.held() == 0, "its message is gone")
    assert status(lane, result) == "REVOKED" and redis.client.get(key) is None


def test_a_running_task_is_terminated(start, lane, app):
    worker = start(rust_worker, lane, concurrency=1)
    long, waiting = lane.send("sleeping", 600), lane.send("identity", 1)
    running(lane, long)
    # Without `terminate` it goes on.
    ask(lane, worker, "revoke", task_id=long.id)
    assert [task["id"] for task in ask(lane, worker, "active")] == [long.id]
    answer = ask(lane, worker, "revoke", task_id=long.id, terminate=True, signal="SIGKILL")
    assert answer == {"ok": f"terminate: {long.id}"}
    with pytest.raises(TaskRevokedError) as raised:
        long.get(timeout=5)
    assert str(raised.value) == "terminated"
    assert waiting.get(timeout=5) == 1


def test_the_rest_of_a_chain_is_left_as_by_python(start, app, redis):
    left = []
    for kind in (python_worker, rust_worker):
        lane = Lane(app, redis, f"chain-{uuid()[:8]}")
        worker = start(kind, lane)
        first, second = (
            app.signature(name, args, queue=lane.queue)
            for name, args in [("t.integration.tasks.sleeping", (600,)), (IDENTITY, ())]
        )
        last = chain(first, second).apply_async()
        running(lane, last.parent)
        ask(lane, worker, "terminate", task_id=last.parent.id, signal="KILL")
        until(lambda: status(lane, last.parent) == "REVOKED", "it is revoked")
        ask(lane, worker, "ping")
        left.append((status(lane, last), lane.waiting(), lane.held()))
    assert left[1] == left[0]


def stamped(lane, name, args, tenant):
    return lane.apply(name, args, stamped_headers=["tenant"], tenant=tenant)


def test_tasks_are_revoked_by_their_stamps(start, lane):
    worker = start(rust_worker, lane, concurrency=2)
    ours, others = (stamped(lane, "sleeping", [600], tenant) for tenant in ("one", "two"))
    running(lane, ours, others)
    reserved = stamped(lane, "identity", [1], "one")
    until(lambda: lane.waiting() == 0, "the worker has it")
    headers = {"tenant": ["one", "three"]}
    answer = ask(lane, worker, "revoke_by_stamped_headers", headers=headers, terminate=True)
    assert answer == {
        "ok": "headers defaultdict(<class 'set'>, {'tenant': {'one'}}) revoked"
    }
    for result in (ours, reserved):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=5)
    assert status(lane, others) == "STARTED"
    later = stamped(lane, "identity", [1], "three")
    with pytest.raises(TaskRevokedError):
        later.get(timeout=5)
    ask(lane, worker, "terminate", task_id=others.id)


def test_a_rate_limit_holds_tasks_without_a_slot(start, lane):
    limited = {"task_default_rate_limit": "1/h"}
    worker = start(rust_worker, lane, concurrency=1, settings=limited)
    # `start` has used up this hour's turn.
    held = [lane.send("identity", n) for n in range(3)]
    assert lane.call("add", 1, 2) == 3
    shown = [task["id"] for task in ask(lane, worker, "reserved")]
    assert shown == [result.id for result in held]
    assert ask(lane, worker, "registered")[-1].endswith("[rate_limit=1/h]")
    ask(lane, worker, "rate_limit", task_name=IDENTITY, rate_limit="100/s")
    assert [result.get(timeout=5) for result in held] == [0, 1, 2]


def test_a_task_that_waits_for_its_rate_limit_can_be_revoked(start, lane):
    worker = start(rust_worker, lane, settings={"task_default_rate_limit": "1/h"})
    held = lane.send("identity", 1)
    until(lambda: lane.held() == 1, "it holds it")
    ask(lane, worker, "revoke", task_id=held.id)
    with pytest.raises(TaskRevokedError):
        held.get(timeout=5)


def test_a_time_limit_is_set_while_the_worker_works(start, lane):
    worker = start(rust_worker, lane)
    name = "t.integration.tasks.sleeping"
    ask(lane, worker, "time_limit", task_name=name, hard=0.2, soft=None)
    with pytest.raises(TimeLimitExceeded):
        lane.send("sleeping", 60).get(timeout=5)
    ask(lane, worker, "time_limit", task_name=name)
    assert lane.call("sleeping", 0.5) is None


def test_the_pool_grows_and_shrinks(start, lane):
    worker = start(rust_worker, lane, concurrency=1)
    size = lambda: ask(lane, worker, "stats")["pool"]["max-concurrency"]
    tasks = [lane.send("sleeping", 600) for _ in range(4)]
    running(lane, tasks[0])
    ask(lane, worker, "pool_grow", n=2)
    assert size() == 3
    running(lane, *tasks[:3])
    assert status(lane, tasks[3]) is None
    ask(lane, worker, "pool_shrink", n=2)
    assert size() == 1
    for task in tasks[:2]:
        ask(lane, worker, "terminate", task_id=task.id, signal="TERM")
    until(lambda: len(ask(lane, worker, "active")) == 1, "two slots are gone")
    assert status(lane, tasks[3]) is None
    ask(lane, worker, "terminate", task_id=tasks[2].id, signal="TERM")
    running(lane, tasks[3])
    assert "error" in ask(lane, worker, "pool_shrink", n=1)
    ask(lane, worker, "terminate", task_id=tasks[3].id, signal="TERM")


def test_the_pool_follows_the_load(start, lane):
    worker = start(rust_worker, lane, options=["--autoscale", "3,1"])
    tasks = [lane.send("sleeping", 600) for _ in range(5)]
    running(lane, *tasks[:3])
    scaler = ask(lane, worker, "stats")["autoscaler"]
    assert scaler == {"max": 3, "min": 1, "current": 3, "qty": 5}
    assert ask(lane, worker, "autoscale", max=5, min=2) == {"ok": "autoscale now max=5 min=2"}
    running(lane, *tasks)
    refused = "pool_grow is not supported with autoscale. Adjust autoscale range instead."
    assert ask(lane, worker, "pool_grow", n=1) == {"error": refused}
    ask(lane, worker, "terminate", task_id=[task.id for task in tasks], signal="TERM")


@pytest.mark.parametrize("pattern, matcher, meant", [
    (r"(?!other)steered-.*@test", "pcre", True),
    (r"(?!steered).*", "pcre", False),
    (r"steered-(\w)\w+@(?!\1)\w+\Z", "pcre", True),
    (r"s(?P<e>t)\w+-.*@(?P=e)est(?#all)", "pcre", True),
    ("[]s]teered-*", "glob", True),
    ("[!]s]teered-*", "glob", False),
])
def test_patterns_mean_what_they_mean_in_python(steered, pattern, matcher, meant):
    control = steered[0][0].app.control
    answers = control.broadcast("ping", reply=True, timeout=1.5, pattern=pattern, matcher=matcher)
    heard = {node for answer in answers for node in answer}
    nodes = {f"{worker.name}@test" for _, worker in steered}
    assert heard & nodes == (nodes if meant else set())


def test_queues_are_added_and_cancelled(start, lane):
    worker = start(rust_worker, lane)
    other = Lane(lane.app, lane.redis, f"other-{uuid()[:8]}")
    queues = lambda: [queue["name"] for queue in ask(lane, worker, "active_queues")]
    before = queues()
    early = other.send("identity", 1)
    assert ask(lane, worker, "add_consumer", queue=other.queue) == {
        "ok": f"add consumer {other.queue}"
    }
    assert early.get(timeout=5) == 1 and queues() == [*before, other.queue]
    ask(lane, worker, "cancel_consumer", queue=other.queue)
    assert queues() == before
    late = other.send("identity", 2)
    assert lane.call("identity", 3) == 3
    assert other.waiting() == 1 and other.meta(late) is None
    # A queue that every worker shares is bound for those who send by exchange.
    assert lane.redis.client.exists(f"_kombu.binding.{other.queue}")


@pytest.mark.parametrize("type, key, sent_with", [
    ("direct", "one", "one"),
    ("direct", None, None),
    ("topic", "or_ders.*.#", "or_ders.new.now"),
])
def test_an_added_queue_is_bound_as_by_python(steered, redis, type, key, sent_with):
    tables, shown = [], []
    for lane, worker in steered:
        queue, exchange = f"added-{uuid()}", f"exchange-{uuid()}"
        more = {"exchange": exchange, "exchange_type": type, "routing_key": key}
        answer = ask(lane, worker, "add_consumer", queue=queue, **more)
        assert answer == {"ok": f"add consumer {queue}"}
        table = f"_kombu.binding.{exchange}"
        until(lambda: redis.client.exists(table), "it is bound")
        tables.append([it.replace(queue, "Q") for it in redis.client.smembers(table)])
        [active] = [it for it in ask(lane, worker, "active_queues") if it["name"] == queue]
        shown.append(json.loads(json.dumps(active).replace(queue, "Q").replace(exchange, "X")))
        with lane.app.connection_for_write() as connection:
            producer = lane.app.amqp.Producer(connection)
            Exchange(exchange, type=type)(connection.default_channel).declare()
            by = {"exchange": exchange, "routing_key": sent_with or queue}
            sent = lane.app.send_task(IDENTITY, [1], producer=producer, **by)
            assert sent.get(timeout=5) == 1
        ask(lane, worker, "cancel_consumer", queue=queue)
    assert tables[1] == tables[0]
    assert shown[1] == shown[0]


@pytest.mark.parametrize("type", ["fanout", "headers", 5])
def test_a_queue_is_not_bound_to_what_cannot_serve_it(steered, type):
    """A Python worker says that it is, whatever becomes of it."""
    answer = ask(*steered[1], "add_consumer", queue="unbound", exchange_type=type)
    assert "only direct and topic" in answer["error"]
    names = [queue["name"] for queue in ask(*steered[1], "active_queues")]
    assert "unbound" not in names


def test_shutdown_ends_the_worker_in_order(start, lane):
    worker = start(rust_worker, lane)
    last = lane.send("delayed_sum", [1, 2], 1)
    running(lane, last)
    lane.app.control.shutdown(destination=[f"{worker.name}@test"])
    assert worker.wait(timeout=10) == 0
    assert last.get(timeout=5) == 3


def test_nothing_is_answered_if_remote_control_is_off(start, lane):
    worker = start(rust_worker, lane, settings={"worker_enable_remote_control": False})
    assert not lane.app.control.ping(destination=[f"{worker.name}@test"], timeout=0.5)


def test_a_rust_client_revokes(rust, python):
    """`AsyncResult.revoke()` in Rust, of a task that a Python worker holds."""
    result = python.apply("identity", [1], countdown=2)
    until(python.held, "the Python worker holds it")
    rust.call("interop.revoke", result.id)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)


#: A task that ends at its soft limit, and one that looks after it.
AT_SOFT_LIMIT = [("sleeping", [60], {}), ("delayed_sum_with_soft_guard", [[1, 2]], {"pause_time": 60})]


def softened(start, lane, kind, **options):
    """What becomes of tasks that are terminated by the signal of the soft limit."""
    worker = start(kind, lane, concurrency=1, options=["-E"], **options)
    ends = []
    with monitoring(lane.app) as monitor:
        for name, args, kwargs in AT_SOFT_LIMIT:
            result = lane.apply(name, args, kwargs)
            running(lane, result)
            answer = ask(lane, worker, "revoke", task_id=result.id, terminate=True, signal="SIGUSR1")
            last, state = ("task-succeeded", "SUCCESS") if kwargs else ("task-failed", "FAILURE")
            of_task = lambda: monitor.of_task(result.id)
            until(lambda: any(event["type"] == last for event in of_task()), "it ends")
            # Which of its two states Python stores last is chance.
            states = {state} if kind is rust_worker else {state, "REVOKED"}
            assert status(lane, result) in states
            ends.append((UUID.sub("<id>", answer["ok"]), [event["type"] for event in of_task()],
                         [event.get("signum") for event in of_task()]))
    # The worker goes on, and so does the child.
    assert lane.call("identity", 1) == 1
    return ends


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_usr1_ends_a_task_as_its_soft_limit_does(start, lane, app, redis, pool):
    theirs = softened(start, lane, python_worker)
    own = Lane(app, redis, f"{lane.queue}-rust")
    assert softened(start, own, rust_worker, settings={"worker_pool": pool}) == theirs
