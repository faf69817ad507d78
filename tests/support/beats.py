"""Beats under test, and what they share."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

from celery import Celery

from .process import Process
from .workers import inline, interop_worker, toml


def beat_program():
    """The program under test: `CELERIAC_BEAT`, or the one that is built beside the worker."""
    named = os.environ.get("CELERIAC_BEAT")
    path = Path(named) if named else interop_worker().parent.parent / "beat"
    if not path.exists():
        raise FileNotFoundError(f"no {path}: cargo build -p beat")
    return path


class Beats:
    """Programs that share one configuration, and one part of Redis."""

    def __init__(self, redis, directory, prefix):
        self.redis = redis
        self.directory = directory
        self.config = directory / "beat.toml"
        self.prefix = prefix
        self.settings = {"beat_scheduler": "shared", "beat_lease": 3}
        self.started = []

    def configure(self, schedule):
        options = {"broker_transport_options": {"global_keyprefix": self.prefix}}
        self.config.write_text(toml({**self.settings, **options}) + toml_schedule(schedule))

    @property
    def environment(self):
        return {"CELERY_BROKER_URL": self.redis.url, "CELERIAC_CONFIG": str(self.config)}

    def start(self, schedule, *options, environment=None):
        self.configure(schedule)
        name = f"beat{len(self.started)}"
        environment = {**self.environment, **(environment or {})}
        beat = Process(name, [beat_program(), *options], self.directory, environment)
        self.started.append(beat)
        return beat

    def stop(self):
        for beat in self.started:
            beat.stop()

    def command(self, *words, fails=False):
        """What a command prints."""
        done = subprocess.run([beat_program(), *words], cwd=self.directory, text=True, timeout=20,
                              env={**os.environ, **self.environment}, capture_output=True)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    def listing(self):
        """The entries by name."""
        entries = json.loads(self.command("list", "--json"))
        return {entry["name"]: entry for entry in entries}

    def counts(self):
        """How often each entry has run, from the shared place itself."""
        histories = self.redis.client.hgetall(f"{self.prefix}celeriac.beat.histories")
        return {name: json.loads(text)["total_run_count"] for name, text in histories.items()}

    def leader(self, beats):
        """Which of these leads: the one that said so last."""
        leading = [beat for beat in beats if re.findall("Leading|Standing by",
                                                         beat.log.read_text())[-1:] == ["Leading"]]
        assert len(leading) == 1, leading
        return leading[0]

    def nobody_leads(self):
        return not self.redis.client.exists(f"{self.prefix}celeriac.beat.leader")

    def reset(self):
        """Forgets what beats without a prefix share."""
        for key in self.redis.client.scan_iter(f"{self.prefix}celeriac.beat.*"):
            self.redis.client.delete(key)

    def waiting(self, queue):
        steps = [queue] + [f"{queue}\x06\x16{step}" for step in (3, 6, 9)]
        return sum(self.redis.client.llen(self.prefix + step) for step in steps)

    def quiet(self, queue, seconds=2):
        """Whether nothing is sent to a queue for so long."""
        before = self.waiting(queue)
        time.sleep(seconds)
        return self.waiting(queue) == before

    def client(self, app):
        """A client in Python of the same part of Redis."""
        options = {"global_keyprefix": self.prefix}
        return Celery("beats", broker=app.conf.broker_url, set_as_current=False,
                      changes={"broker_transport_options": options})


def toml_schedule(schedule):
    """Entries, each value inline."""
    return "".join(
        f"[beat_schedule.{name}]\n" + "".join(f"{key} = {inline(value)}\n"
                                              for key, value in entry.items())
        for name, entry in schedule.items())
