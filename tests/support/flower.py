"""Flower, and what it says through its HTTP API."""

import json
import sys
import urllib.request

from .process import Process
from .redis_server import free_port
from .waiting import until
from .workers import environment


class Flower:
    """A client of the Flower at this address."""

    def __init__(self, url):
        self.url = url

    def request(self, path, method="GET", body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    def get(self, path):
        return json.loads(self.request(path))

    def post(self, path, body=None):
        return json.loads(self.request(path, "POST", body))

    def shows(self, condition, what):
        def shown():
            try:
                return condition()
            except OSError:  # it is not there yet
                return None

        return until(shown, what, 20, 0.1)

    def row(self, node):
        """What the list of workers has of one, if it is online."""
        rows = [row for row in self.get("/workers?json=1")["data"] if row["hostname"] == node]
        return rows[0] if rows and rows[0]["status"] else None

    def task(self, result):
        return self.get(f"/api/task/info/{result.id}")


class OwnFlower(Flower):
    """One that is started here, and knows the suite's tasks."""

    def __init__(self, redis, directory):
        port = free_port()
        super().__init__(f"http://127.0.0.1:{port}")
        argv = [sys.executable, "-m", "celery", "-A", "support.app", "flower",
                "--address=127.0.0.1", f"--port={port}"]
        env = environment(redis, redis) | {"FLOWER_UNAUTHENTICATED_API": "true"}
        self.process = Process("flower", argv, directory, env)

    def stop(self):
        self.process.stop()
