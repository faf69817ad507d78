"""The walk of docs/migration.md, with its own files: Rust beside Python, a share, and back."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from support.process import Process
from support.redis_server import RedisServer
from support.waiting import until
from support.workers import TESTS, example

ROOT = TESTS.parent
WALK = (ROOT / "docs/migration.md").read_text()

#: A file's name in its own line, then what is in it; `, at its end` adds to it.
FILES = re.findall(r"^`([\w./-]+)`(, at its end)?:\n\n```\w+\n(.*?)^```", WALK,
                   re.MULTILINE | re.DOTALL)

#: A producer of many calls.
MANY = """
from shop.tasks import score
for n in range(20):
    print(score.delay(f"good shop {n}").id)
"""
WRONG = """
from shop.tasks import score
try:
    score.delay()
except TypeError as error:
    print(error)
"""

pytestmark = pytest.mark.timeout(120)


class Project:
    """The directory that the walk fills."""

    def __init__(self, directory, redis):
        self.directory = directory
        self.redis = redis
        self.files = list(FILES)
        self.environment = {"CELERY_BROKER_URL": redis.url, "CELERY_RESULT_BACKEND": redis.url}
        self.started = []

    def write(self, *names):
        """The next text that the walk has for each of these files."""
        for name in names:
            place = next(n for n, (file, *_) in enumerate(self.files) if file == name)
            _, at_end, text = self.files.pop(place)
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if at_end else "w") as file:
                # A minute is long for a test.
                file.write(text.replace('"schedule": 60.0', '"schedule": 0.3'))

    def run(self, *words, **environment):
        ran = subprocess.run([sys.executable, *words], cwd=self.directory, text=True, check=False,
                             env=os.environ | self.environment | environment, timeout=60,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def celery(self, *words, **environment):
        return self.run("-m", "celery", "-A", "shop", *words, **environment)

    def start(self, name, argv, place=".", **environment):
        process = Process(name, argv, self.directory / place, self.environment | environment)
        self.started.append(process)
        return process

    def python(self, **environment):
        argv = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-E",
                "-c", "1", "-n", "python@%h", "-l", "INFO"]
        return self.start("python-worker", argv, **environment)

    def rust(self):
        return self.start("rust-worker", [example("shop_worker")], "shop-worker")

    def succeeded(self, id):
        meta = self.redis.client.get(f"celery-task-meta-{id}")
        return meta and json.loads(meta)["status"] == "SUCCESS"

    def ran(self, worker):
        """How many scores this worker has run."""
        said = worker.log.read_text()
        return len(re.findall(r"Task shop\.tasks\.score\S* succeeded", said))


@pytest.fixture
def project(tmp_path):
    redis = RedisServer(tmp_path)
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project", redis)
    yield project
    for process in reversed(project.started):
        process.stop()
    redis.stop()


def test_the_rust_of_the_walk_is_what_is_tested():
    [source] = [text for name, _, text in FILES if name == "shop-worker/src/main.rs"]
    assert source == (ROOT / "celeriac/examples/shop_worker.rs").read_text()


def test_the_walk(project):
    project.write("shop/app.py", "shop/tasks.py", "shop/__init__.py", "send.py")
    python = project.python()
    python.wait_for_log("ready.")
    assert project.run("send.py") == "review 1: 5 of 6\n"

    project.write("shop-worker/celeryconfig.toml")
    rust = project.rust()
    rust.wait_for_log("ready.")
    assert "2 nodes online." in project.celery("status")
    called = ["call", "shop.tasks.score", "--args", '["good good shop"]', "--queue", "score-rust"]
    id = project.celery(*called).strip()
    until(lambda: project.ran(rust) == 1, "Rust has run it")
    assert "'different': 2" in project.celery("result", id)

    project.write("compare.py")
    assert project.run("compare.py").endswith("0 differ\n")

    project.write("shop/routes.py", "shop/app.py")
    before = project.ran(rust)
    assert project.run("send.py", RUST_PERCENT="100") == "review 1: 5 of 6\n"
    until(lambda: project.ran(rust) == before + 1, "the share has come to Rust")
    project.run("send.py")
    beat = project.start("beat", [sys.executable, "-m", "celery", "-A", "shop", "beat"],
                         RUST_PERCENT="100")
    until(lambda: project.ran(rust) > before + 1, "beat sends by the route")
    beat.stop()

    # Back: what waits for Rust, and what it gives back, is Python's.
    rust.signal(signal.SIGSTOP)
    ids = project.run("-c", MANY, RUST_PERCENT="100").split()
    rust.signal(signal.SIGTERM)
    rust.signal(signal.SIGCONT)
    node = re.search(r"python@\S+(?=:)", project.celery("status"))[0]
    project.celery("control", "-d", node, "add_consumer", "score-rust")
    assert rust.wait() == 0
    until(lambda: all(project.succeeded(id) for id in ids), "none is lost")
    assert project.redis.client.llen("score-rust") == 0
    project.celery("control", "-d", node, "cancel_consumer", "score-rust")
    assert project.run("send.py") == "review 1: 5 of 6\n"
    assert python.stop() == 0

    # For good: the stub takes the place of the Python task.
    stub = subprocess.run([example("shop_worker"), "stubs"], check=True, stdout=subprocess.PIPE)
    (project.directory / "shop/score.py").write_bytes(stub.stdout)
    project.write("shop/tasks.py", "shop/routes.py")
    project.python()
    rust = project.rust()
    before = project.ran(rust)
    assert project.run("send.py") == "review 1: 5 of 6\n"
    until(lambda: project.ran(rust) == before + 1, "Rust has run it")
    refused = project.run("-c", WRONG)
    assert refused == "score() missing 1 required positional argument: 'text'\n"
    # No file of the walk is left that nothing has tried; this one was, as a program.
    assert [name for name, *_ in project.files] == ["shop-worker/src/main.rs"]
