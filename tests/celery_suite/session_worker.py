"""The one worker that a session's tests share."""

import sys

from celery.utils.nodenames import anon_nodename

from celery_suite.watch import Watch
from support.process import Process
from support.waiting import until
from support.workers import environment, rust_worker


def python_worker(redis, directory, node):
    argv = [sys.executable, "-m", "celery", "-A", "celery_suite.python_app", "worker",
            "-n", node, "-c", 1, "--loglevel", "INFO", "-E",
            "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return Process(node, argv, directory, environment(redis, redis))


def our_worker(redis, directory, node):
    settings = {"task_track_started": False}
    return rust_worker(redis, redis, directory, node, ["celery"], 1, settings)


class SessionWorker:
    """What the tests take for Celery's embedded worker: same name, one slot."""

    def __init__(self, kind, redis, app, directory):
        self.kind, self.redis, self.app, self.directory = kind, redis, app, directory
        self.watch = Watch(redis)
        self.start()

    def start(self):
        self.failed = False
        self.process = self.kind(self.redis, self.directory, anon_nodename())

        def answered():
            self.assert_running()
            # Not a task: the one before may still occupy the only slot.
            return self.app.control.ping(timeout=0.5, limit=1)

        until(answered, "the worker answers", 20)
        # `Watch` learns from them what is done.
        self.app.control.enable_events()

    @property
    def pid(self):
        return self.process.pid

    def assert_running(self):
        assert self.process.running, f"the worker ended with {self.process.child.returncode}"

    def ensure_running(self):
        if self.failed:
            self.abandon()
            self.start()
        self.assert_running()

    def restart(self):
        """A worker that remembers nothing."""
        self.process.kill()
        self.start()

    def abandon(self):
        """Forgets everything that a test has begun."""
        self.process.kill()
        self.redis.client.flushall()

    def stop(self):
        self.watch.close()
        self.process.stop()
