"""The Python module of a worker's tasks, as a Python team uses it."""

import json
import os
import py_compile
import subprocess
import sys

import pytest

from support.workers import environment, interop_worker

#: Begins every script: a client whose tasks are the stubs.
CLIENT = """
import inspect, json
from celery import Celery
app = Celery("client")
app.conf.task_default_queue = {queue!r}
def show(value):
    print(json.dumps(value))
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where `rust_tasks.py` has all tasks, and `native.py` those of one module."""
    directory = tmp_path_factory.mktemp("stubs")
    for name, arguments in {"rust_tasks": [], "native": ["native"]}.items():
        text = subprocess.run([interop_worker(), "stubs", *arguments], check=True,
                              capture_output=True, text=True).stdout
        file = directory / f"{name}.py"
        file.write_text(text)
        py_compile.compile(str(file), doraise=True)
    return directory


@pytest.fixture
def client(directory, redis, rust):
    """Runs a script of a client of its own, and returns what it shows."""

    def run(script):
        env = {**os.environ, **environment(redis, redis), "PYTHONPATH": str(directory)}
        script = CLIENT.format(queue=rust.queue) + script
        ran = subprocess.run([sys.executable, "-c", script], env=env, check=False,
                             capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    return run


def test_tasks_are_called_by_their_names(client):
    script = """
from rust_tasks import auto_retry_class_task, native, rusty, t
tasks = t.integration.tasks
show(native.add.delay(2, y=3).get(timeout=10))
show(native.greet.delay("Ada").get(timeout=10))
chain = tasks.add.s(2, 2) | tasks.mul.s(10).set(queue=app.conf.task_default_queue)
show(chain.delay().get(timeout=10))
show(rusty.greet.delay("Ada").get(timeout=10))
show([auto_retry_class_task.name, native.add.name])
"""
    assert client(script) == [
        5, "Hello, Ada", 40, "Hello, Ada", ["auto_retry_class_task", "native.add"]]


def test_a_module_alone_stands_for_the_one_that_the_tasks_came_from(client):
    assert client("import native; show(native.add.delay(1, 2, z=3).get(timeout=10))") == [6]


def test_wrong_arguments_are_refused_before_they_are_sent(client):
    script = """
import native
try:
    native.add.delay(1)
except TypeError as error:
    show(str(error))
"""
    [said] = client(script)
    assert said == "add() missing 1 required positional argument: 'y'"


def test_a_stub_that_a_python_worker_runs_says_where_it_runs(client):
    script = """
import native
try:
    native.add(1, 2)
except NotImplementedError as error:
    show(str(error))
"""
    assert client(script) == ["native.add runs in Rust"]


def test_signatures_and_documentation(client):
    script = """
import native
for task in [native.add, native.greet, native.total, native.echo]:
    show([str(inspect.signature(task)).replace("'", ""), inspect.getdoc(task.run)])
"""
    assert client(script) == [
        ["(x: int, y: int, z: int | None = None) -> int", "Adds two numbers, or three."],
        ["(name: str, greeting: str = Hello) -> str",
         'Greets somebody.\n\nWith "Hello" unless told otherwise.'],
        ["(*numbers: Any, factor: int = 1, **more: Any) -> int",
         "Sums what it is given by place and by name."],
        ["(key: str, message: str) -> None", "Leaves a message in a list."],
    ]


def test_what_is_known_of_a_task_of_rusty_celery(client):
    script = """
from rust_tasks import rusty
for task in [rusty.greet, rusty.relay]:
    show(str(inspect.signature(task)).replace("'", ""))
"""
    assert client(script) == [
        "(name: str, greeting: str | None = None) -> str",
        "(task: str, args: list[Any], queue: str) -> Any",
    ]


def test_a_task_without_result_is_known_as_such(client):
    script = """
from rust_tasks import t
tasks = t.integration.tasks
show(tasks.add_ignore_result.ignore_result)
show(tasks.add.ignore_result)
"""
    assert client(script) == [True, False]
