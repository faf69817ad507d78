"""Child processes are killed while they run tasks."""

import os
import signal
import time
from pathlib import Path

from support.waiting import until

from .site import SECONDS, disturbing


def children(worker):
    """The processes that it has started."""
    lists = Path(f"/proc/{worker.pid}/task").glob("*/children")
    return [int(pid) for file in lists for pid in file.read_text().split()]


def test_killed_children_lose_nothing(site, work, report):
    settings = {"worker_pool": "prefork", "task_reject_on_worker_lost": True}
    worker = site.worker(settings=settings)
    work.everything(int(4 * SECONDS))
    until(lambda: len(site.ran()) > 40, "the work has begun", 30)
    kills = 0
    for _ in disturbing():
        pids = children(worker)
        if pids:
            os.kill(site.rng.choice(pids), signal.SIGKILL)
            kills += 1
        time.sleep(site.rng.uniform(0.05, 0.4))
    site.rest()
    doubled = site.verdict()
    assert len(doubled) <= kills
    assert worker.running
    report("killed children", f"{kills} kills, {len(site.expected)} runs, 0 lost, {len(doubled)} of those running ran again")
