"""`celery worker` and the Rust worker, started with the same options."""

import os
import subprocess
import sys

from .waiting import until
from .workers import TESTS, interop_worker


def python():
    return [sys.executable, "-m", "celery", "-A", "support.app", "worker"]


def rust():
    return [interop_worker()]


BOTH = [python, rust]


class Command:
    """A worker's program; unlike `Process`, what it prints and logs are two texts."""

    def __init__(self, kind, directory, redis, *options, **environment):
        name = f"{kind.__name__}-{len(list(directory.glob('*.out')))}"
        self.out, self.err = directory / f"{name}.out", directory / f"{name}.err"
        env = {"CELERY_BROKER_URL": redis.url, "CELERY_RESULT_BACKEND": redis.url,
               "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port),
               "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore", **environment}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.child = subprocess.Popen(
                [str(part) for part in [*kind(), *options]], cwd=directory,
                env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True)

    @property
    def pid(self):
        return self.child.pid

    def printed(self):
        return self.out.read_text()

    def logged(self):
        return self.err.read_text()

    def wait(self):
        """The exit code."""
        return self.child.wait(timeout=20)

    def end(self, number):
        self.child.send_signal(number)
        return self.wait()

    def until_ready(self):
        def ready():
            assert self.child.poll() is None, self.logged()
            return " ready.\n" in self.logged()

        until(ready, "it is ready", 20)
        return self

    def banner(self):
        """The banner's lines, without Celery's picture at their left."""
        until(lambda: "[tasks]" in self.printed(), "the banner", 20)
        picture = " -*"
        return [line.lstrip(picture).rstrip() for line in self.printed().splitlines()]
