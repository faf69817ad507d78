"""Flower shows a Rust worker and steers it."""

import json
import sys
import urllib.request

import pytest

from support.process import Process
from support.redis_server import free_port
from support.waiting import until
from support.workers import TESTS, rust_worker

NODE = "flowered@test"


class Flower:
    def __init__(self, redis, directory):
        self.port = free_port()
        argv = [sys.executable, "-m", "celery", "-b", redis.url, "flower",
                "--address=127.0.0.1", f"--port={self.port}"]
        env = {"FLOWER_UNAUTHENTICATED_API": "true", "PYTHONPATH": str(TESTS)}
        self.process = Process("flower", argv, directory, env)

    def request(self, path, method="GET"):
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    def get(self, path):
        return json.loads(self.request(path))

    def post(self, path):
        return json.loads(self.request(path, "POST"))["message"]

    def shows(self, condition, what):
        def shown():
            try:
                return condition()
            except OSError:  # it is not there yet
                return None

        return until(shown, what, 20, 0.2)


@pytest.fixture
def flower(redis, tmp_path):
    flower = Flower(redis, tmp_path)
    yield flower
    flower.process.stop()


@pytest.fixture
def worker(redis, tmp_path, lane):
    worker = rust_worker(redis, redis, tmp_path, NODE, [lane.queue], 2, options=["-E"])
    yield worker
    worker.stop()


def test_flower_shows_and_steers_the_worker(flower, worker, lane):
    def known():
        row = [row for row in flower.get("/workers?json=1")["data"] if row["hostname"] == NODE]
        return row and row[0]["status"] and row[0]

    assert flower.shows(known, "the worker is online")["sw_ident"] == "celeriac"
    done, failed = lane.send("add", 1, 2), lane.send("raise_error")
    long = lane.send("sleeping", 600)

    def state(result):
        return flower.get(f"/api/task/info/{result.id}")["state"]

    flower.shows(lambda: state(long) == "STARTED", "the long task runs")
    assert (state(done), state(failed)) == ("SUCCESS", "FAILURE")
    info = flower.get(f"/api/task/info/{done.id}")
    assert (info["args"], info["result"]) == ("(1, 2)", "3")

    def stats():
        workers = flower.get(f"/api/workers?refresh=1&workername={NODE}")
        return workers[NODE].get("stats")

    assert flower.shows(stats, "the worker's page has figures")["pool"]["max-concurrency"] == 2
    assert NODE in flower.request(f"/worker/{NODE}")
    flower.post(f"/api/worker/pool/grow/{NODE}?n=2")
    flower.shows(lambda: stats()["pool"]["max-concurrency"] == 4, "the pool has grown")
    assert flower.post(f"/api/worker/queue/add-consumer/{NODE}?queue=flowers") == (
        "add consumer flowers"
    )
    flower.post(f"/api/task/revoke/{long.id}?terminate=true")
    flower.shows(lambda: state(long) == "REVOKED", "the long task is revoked")
    flower.post(f"/api/worker/shutdown/{NODE}")
    assert worker.wait(timeout=10) == 0
