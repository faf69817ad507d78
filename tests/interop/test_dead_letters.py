"""`workers dead-letter` handles what no worker could run."""

import os
import subprocess

import pytest
from celery import Celery

from support.waiting import until
from support.workers import rust_worker, workers_command


@pytest.fixture
def dead_letter(durable_redis):
    """The command; its answer's lines."""
    environment = {**os.environ, "CELERY_BROKER_URL": durable_redis.url}

    def run(*arguments):
        argv = [workers_command(), "dead-letter", *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_a_refused_message_is_listed_and_runs_when_it_is_put_back(
    durable_redis, redis, tmp_path, dead_letter
):
    app = Celery(broker=durable_redis.url, backend=durable_redis.url, set_as_current=False)
    later = "t.integration.tasks.identity"
    queues = ["lane"]
    worker = rust_worker(durable_redis, redis, tmp_path, "refusing", queues)
    try:
        # Garbage of every kind, and a message that only lacks its name.
        durable_redis.client.lpush("lane", b"\xff\xfe garbage")
        app.send_task("nobody.knows", (1,), queue="lane")
        until(lambda: len(dead_letter("list")) == 2, "both are kept", 15)
        unknown, garbage = (line.split("\t") for line in dead_letter("list"))
        assert unknown[2:] == ["lane", "nobody.knows", "unregistered task nobody.knows"]
        assert garbage[2:4] == ["lane", ""]
        assert "payload_base64" in "\n".join(dead_letter("show", garbage[0]))

        # Put back as it was, it is refused again, and loses nothing.
        assert dead_letter("requeue", unknown[0]) == [f"{unknown[0]}\tback in its queue"]
        until(lambda: len(dead_letter("list")) == 2, "it is refused again", 15)
        assert dead_letter("drop", garbage[0]) == [f"{garbage[0]}\tdeleted"]
        assert len(dead_letter("list")) == 1
        assert dead_letter("drop", "--all")
        assert dead_letter("list") == []
        assert app.send_task(later, (1,), queue="lane").get(timeout=10) == 1
        assert not durable_redis.client.exists("celeriac.refused")
    finally:
        worker.stop()


def test_what_was_refused_runs_once_the_cause_is_mended(
    durable_redis, redis, tmp_path, dead_letter
):
    app = Celery(broker=durable_redis.url, backend=durable_redis.url, set_as_current=False)
    settings = {"accept_content": ["json"]}
    worker = rust_worker(durable_redis, redis, tmp_path, "strict", ["lane"], settings=settings)
    try:
        result = app.send_task("t.integration.tasks.add", (1, 2), queue="lane",
                               serializer="msgpack")
        (refused,) = (line.split("\t") for line in until(lambda: dead_letter("list"), "refusal"))
        assert "msgpack" in refused[4]
        assert result.state == "FAILURE"
    finally:
        worker.stop()
    settings["accept_content"].append("msgpack")
    worker = rust_worker(durable_redis, redis, tmp_path, "mended", ["lane"], settings=settings)
    try:
        dead_letter("requeue", refused[0])
        again = lambda: app.AsyncResult(result.id).state == "SUCCESS"
        until(again, "it has run", 10)
        assert app.AsyncResult(result.id).get() == 3
        assert dead_letter("list") == []
    finally:
        worker.stop()
