"""Child processes: each with a log of its own, each ended by its own pid."""

import os
import signal
import subprocess

from .waiting import until

#: Every process that the suite has started, for the logs of a failed test.
started = []


class Process:
    def __init__(self, name, argv, directory, env=None, log=None):
        self.name = name
        self.log = log or directory / f"{name}.log"
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [str(part) for part in argv],
                cwd=directory,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is pytest's; it then stops us in order.
                start_new_session=True,
            )
        self.shown = 0
        started.append(self)

    @property
    def pid(self):
        return self.child.pid

    @property
    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=10):
        """The exit code."""
        return self.child.wait(timeout)

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self, timeout=10):
        """Asks it to end; insists if it does not."""
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.child.returncode

    def wait_for_log(self, text, timeout=15):
        def seen():
            assert self.running, f"{self.name} has ended with {self.child.returncode}"
            return text in self.log.read_text(errors="replace")

        until(seen, f"{self.name} says {text!r}", timeout)

    def news(self, limit=8000):
        """What the log has got since the last call."""
        if not self.log.exists():
            return ""
        text = self.log.read_text(errors="replace")
        news, self.shown = text[self.shown :], len(text)
        return news[-limit:]

    def cpu_seconds(self):
        fields = open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
