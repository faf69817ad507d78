"""Workers of both kinds, and the queue (a lane) that each serves."""

import json
import os
import sys
from pathlib import Path

from .process import Process
from .suite import SUITE
from .waiting import until

TESTS = Path(__file__).parent.parent
TARGET = TESTS.parent / "target"

#: Both kinds of workers run under these unless a test says otherwise.
SETTINGS = {"result_extended": True, "task_track_started": True}


def interop_worker():
    """The program under test."""
    named = os.environ.get("CELERIAC_INTEROP_WORKER")
    built = [TARGET / profile / "examples/interop_worker" for profile in ("release", "debug")]
    for path in [Path(named)] if named else built:
        if path.exists():
            return path
    raise FileNotFoundError("no interop worker: cargo build -p celeriac --features command --examples")


def example(name):
    """Another program that is built beside it."""
    path = interop_worker().with_name(name)
    if not path.exists():
        raise FileNotFoundError(f"no {path}: cargo build -p celeriac --features command --examples")
    return path


def workers_command():
    """The program of the service, with its commands."""
    built = [TARGET / profile / "workers" for profile in ("release", "debug")]
    return next(path for path in built if path.exists())


def rust_worker(redis, effects, directory, node, queues, concurrency=8, settings=None,
                backend=None, options=()):
    """`node` may be a whole nodename."""
    config = directory / f"{node}.toml"
    nodename = node if "@" in node else f"{node}@test"
    config.write_text(toml({**SETTINGS, **(settings or {})}))
    argv = [interop_worker(), "--broker", redis.url, "--backend", (backend or redis).url,
            "-n", nodename, "-c", concurrency, "-Q", ",".join(queues),
            "--config", config, *options]
    return Process(node, argv, directory, environment(redis, effects))


def python_worker(redis, effects, directory, node, queues, concurrency=2, settings=None,
                  options=(), app="support.app", program=(sys.executable, "-m", "celery")):
    argv = [*program, "-A", app, "worker",
            "-n", f"{node}@test", "-c", concurrency, "-Q", ",".join(queues),
            "--loglevel", "INFO", *options]
    env = environment(redis, effects)
    env["INTEROP_SETTINGS"] = json.dumps({**SETTINGS, **(settings or {})})
    return Process(node, argv, directory, env)


def until_listening(app, *nodes):
    """A Python worker says that it is ready before it listens to commands."""
    for node in nodes:
        until(lambda: app.control.ping([node], timeout=2), f"{node} listens")


def environment(redis, effects):
    """`effects` is the Redis where tasks leave marks, alive when `redis` is not."""
    return {
        "CELERY_BROKER_URL": redis.url,
        "CELERY_RESULT_BACKEND": redis.url,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(effects.port),
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(SUITE)]),
    }


def toml(settings):
    """Settings as TOML, each dictionary as a table."""
    plain = [item for item in settings.items() if not isinstance(item[1], dict)]
    tables = [item for item in settings.items() if isinstance(item[1], dict)]
    lines = [f"{name} = {inline(value)}\n" for name, value in plain]
    for name, table in tables:
        lines.append(f"[{name}]\n")
        lines += [f"{json.dumps(key)} = {inline(value)}\n" for key, value in table.items()]
    return "".join(lines)


def inline(value):
    """A value as TOML: JSON writes texts and numbers the same way."""
    if isinstance(value, dict):
        return "{ " + ", ".join(
            f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()
        ) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    return json.dumps(value)
