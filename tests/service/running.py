"""The service as a stranger starts it: `make run`, beside others and with data of its own."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
#: The last of what `make build` makes.
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/workers"

#: Seconds that a start may take, with a build that has nothing to do.
START = 300


class Service:
    def __init__(self, var, **environment):
        self.var = Path(var)
        self.log = self.var / "terminal.log"
        self.environment = {
            **os.environ,
            "CELERIAC_VAR": str(self.var),
            "CELERIAC_API_PORT": "0",
            "CELERIAC_FLOWER_PORT": "0",
            **environment,
        }
        # What an outer `make test` says to its own children.
        self.environment.pop("MAKEFLAGS", None)
        self.make = None

    def start(self):
        self.var.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.make = subprocess.Popen(
                ["make", "run"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A terminal's Ctrl-C is heard, even if this suite runs in the background.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        return self

    @property
    def terminal(self):
        """Everything said so far."""
        return self.log.read_text(errors="replace")

    def says(self, pattern, timeout=START):
        """Waits for a line."""

        def seen():
            match = re.search(pattern, self.terminal)
            assert match or self.make.poll() is None, f"ended:\n{self.terminal[-4000:]}"
            return match

        return until(seen, f"the terminal says {pattern!r}", timeout)

    def up(self):
        """Waits for the announcement; gives how many calls it counts."""
        return int(self.says(r"Celeriac is up: (\d+) calls are processed")[1])

    def ctrl_c(self, timeout=90):
        """As the terminal does it, to everybody in the foreground; gives the seconds it took."""
        began = time.monotonic()
        os.killpg(self.make.pid, signal.SIGINT)
        self.make.wait(timeout)
        return time.monotonic() - began

    def stop(self):
        if self.make and self.make.poll() is None:
            self.make.terminate()
            try:
                self.make.wait(90)
            except subprocess.TimeoutExpired:
                os.killpg(self.make.pid, signal.SIGKILL)
                raise

    def processes(self):
        """Every process that descends from this service, by its environment."""
        mark = f"CELERIAC_VAR={self.var}\0".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes() + b"\0":
                    found[int(process.name)] = (process / "comm").read_text().strip()
            except OSError:
                pass  # It has ended since, or is not ours to look at.
        return found

    def command_lines(self):
        """The same, with the whole command of each."""
        return {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                for pid in self.processes()}

    def setting(self, name):
        """What the service tells its users in a file."""
        return re.search(rf"{name}=(.*)", (self.var / "running.env").read_text())[1]

    @property
    def redis_url(self):
        return self.setting("CELERY_BROKER_URL")

    @property
    def app(self):
        """A Celery client in Python."""
        from celery import Celery  # Here, as measurements need none.

        return Celery("stranger", broker=self.redis_url, backend=self.redis_url,
                      set_as_current=False)

    def ask(self, path, body=None, token=None):
        """The API's answer: its status and its JSON."""
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.setting("CELERIAC_API_URL") + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def get(self, path):
        _, signed_in = self.ask("/signin", {"name": "stranger"})
        status, answer = self.ask(path, token=signed_in["token"])
        assert status == 200, answer
        return answer

    def processed(self):
        """How many calls are processed."""
        return self.get("/api/v1/calls/?limit=1")["total"]

    def printed_curls(self):
        """The commands that the announcement offers: the sign-in, and the others."""
        lines = re.findall(r"^ {2}((?:TOKEN=|curl ).*)$", self.terminal, re.MULTILINE)
        return lines[0], lines[1:]


def pasted(*lines):
    """What a shell prints for lines that are pasted into it."""
    done = subprocess.run(["bash", "-euc", "\n".join(lines)], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, f"{shlex.join(lines)}\n{done.stderr}"
    return done.stdout
