"""Where a name, an id, a time or a number is expected, Python can put a value
that JSON has no type for."""

import datetime
import decimal
import uuid

from support.rust_client import RustClient
from support.waiting import until
from support.workers import rust_worker
from support.workflows import Tasks


def test_a_task_with_a_uuid_as_its_id_runs_under_the_text_of_it(rust):
    id = uuid.uuid4()
    rust.apply("identity", [1], task_id=id)
    # A client in Python waits for a UUID in vain, whoever runs the task.
    result = rust.app.AsyncResult(str(id))
    assert result.get(timeout=15) == 1
    meta = rust.meta(result)
    assert (meta["status"], meta["task_id"]) == ("SUCCESS", str(id))


def test_every_id_of_a_message_can_be_a_uuid(rust):
    ids = {name: uuid.uuid4() for name in ("task_id", "root_id", "parent_id", "group_id")}
    options = {**ids, "shadow": uuid.uuid4(), "correlation_id": uuid.uuid4(),
               "reply_to": uuid.uuid4(), "argsrepr": "shown"}
    rust.apply("identity", [1], **options)
    result = rust.app.AsyncResult(str(ids["task_id"]))
    assert result.get(timeout=15) == 1
    meta = rust.meta(result)
    assert (meta["parent_id"], meta["group_id"]) == (str(ids["parent_id"]), str(ids["group_id"]))


def test_numbers_and_times_of_a_message_have_types(rust):
    now = datetime.datetime.now(datetime.timezone.utc)
    options = {"priority": decimal.Decimal(3), "time_limit": decimal.Decimal("30"),
               "soft_time_limit": decimal.Decimal("20.5"), "retries": decimal.Decimal(1)}
    assert rust.apply("identity", [1], **options).get(timeout=15) == 1
    assert rust.apply("return_request_time_limits", **options).get(timeout=15)
    headers = {"eta": now, "expires": now + datetime.timedelta(hours=1)}
    assert rust.apply("identity", [2], headers=headers).get(timeout=15) == 2


def test_callbacks_and_chains_have_options_with_types(rust):
    tasks = Tasks(rust.app, queue=rust.queue)
    linked, second = uuid.uuid4(), uuid.uuid4()
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    callback = tasks.identity().set(task_id=linked, expires=soon, root_id=uuid.uuid4(),
                                    countdown=decimal.Decimal("0.1"))
    first = tasks.identity(1)
    first.link(callback)
    first.apply_async()
    app = rust.app
    assert app.AsyncResult(str(linked)).get(timeout=15) == 1
    following = tasks.add(1).set(task_id=second, expires=soon)
    (tasks.identity(1) | following).apply_async()
    until(lambda: app.AsyncResult(str(second)).ready(), "the chain's second step", 15)
    assert app.AsyncResult(str(second)).get() == 2


def test_control_commands_take_ids_with_types(start, lane, redis):
    start(rust_worker, lane, concurrency=1)
    id = uuid.uuid4()
    lane.app.control.revoke(id)
    lane.app.control.revoke([uuid.uuid4(), id])
    control = lane.app.control

    def known():
        replies = control.inspect(timeout=1).revoked() or {}
        return any(str(id) in ids for ids in replies.values())

    until(known, "the id is known as revoked", 15)
    result = lane.apply("identity", [1], task_id=str(id))
    until(lambda: (lane.meta(result) or {}).get("status") == "REVOKED", "it is revoked", 15)


def test_stamps_have_types(start, lane):
    start(rust_worker, lane)
    stamp = uuid.uuid4()
    lane.app.control.revoke_by_stamped_headers({"tenant": [stamp]})
    control = lane.app.control
    until(lambda: control.ping(timeout=1), "commands are heard", 15)
    options = {"stamped_headers": ["tenant"], "tenant": stamp}
    result = lane.apply("identity", [1], **options)
    until(lambda: (lane.meta(result) or {}).get("status") == "REVOKED", "it is revoked", 15)


def test_the_rust_client_reads_results_whose_fields_have_types(rust, redis, tmp_path):
    id, child = uuid.uuid4(), uuid.uuid4()
    meta = {"status": "SUCCESS", "result": 5, "traceback": None, "task_id": id,
            "children": [[[child, None], None]],
            "date_done": datetime.datetime.now(datetime.timezone.utc)}
    redis.client.set(f"celery-task-meta-{id}", rust.app.backend.encode(meta))
    client = RustClient(tmp_path, redis.url, redis.url)
    try:
        result = [[str(id), None], None]
        assert client.ask("get", result=result) == 5
        assert client.ask("children", result=result) == [[[str(child), None], None]]
    finally:
        client.stop()
