"""The API of the service, on a SQLite database of its own."""

import json
import re
import sqlite3
import urllib.error
import urllib.request
import uuid
from array import array

from .process import Process
from .waiting import until
from .workers import TARGET


def api_command():
    """The program, or `None` if it is not built."""
    built = [TARGET / profile / "api" for profile in ("release", "debug")]
    return next((path for path in built if path.exists()), None)


class Api(Process):
    """Runs the program, with no more than so many `files` open."""

    def __init__(self, directory, files=1024):
        self.database = directory / "calls.db"
        env = {"CELERIAC_STORE_URL": f"sqlite://{self.database}", "CELERIAC_API_PORT": "0",
               "CELERIAC_API_SECRET": "a secret of the tests, thirty-two bytes"}
        limited = ["bash", "-c", f'ulimit -n {files}; exec "$0"', api_command()]
        super().__init__("api", limited, directory, env)
        self.wait_for_log("the API is at http://")
        self.url = re.search(r"http://[\d.]+:\d+", self.log.read_text())[0]
        self.port = int(self.url.rsplit(":", 1)[1])
        self.token = self.get("/signin", body={"name": "me"})[2]["token"]

    def ask(self, path, method=None, headers=None, body=None, timeout=30):
        """The answer's status, headers and bytes."""
        request = urllib.request.Request(self.url + path, method=method, headers=headers or {},
                                         data=body and json.dumps(body).encode())
        if body:
            request.add_header("content-type", "application/json")
        elif hasattr(self, "token"):
            request.add_header("authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path, **more):
        """The same, with its JSON read."""
        status, headers, body = self.ask(path, **more)
        return status, headers, json.loads(body)

    def fill(self, count):
        """Puts processed calls in its database; the id of one."""
        ids = [uuid.uuid4() for _ in range(count)]
        with sqlite3.connect(self.database, timeout=30) as database:
            database.execute("INSERT OR IGNORE INTO agent (id) VALUES ('ann')")
            database.executemany(
                "INSERT INTO call (id, agent_id, customer_id, language, start_time, duration_seconds,"
                " state, agent_talk_ratio, customer_sentiment_score, embedding,"
                " transcript_customer, transcript_agent)"
                " VALUES (?, 'ann', 'me', 'en', ?, 60, 'processed', 0.5, 0.5, ?, ?, 'Sorry')",
                [(id.bytes, f"2025-03-01T12:{n // 60 % 60:02}:{n % 60:02}+00:00",
                  array("f", [(n + k) % 7 / 70 for k in range(384)]).tobytes(),
                  f"My parcel {n} is late and i am not happy") for n, id in enumerate(ids)])
        database.close()
        until(lambda: self.get("/api/v1/calls/?limit=1")[2]["total"] >= count, "they are there")
        return ids[0]
