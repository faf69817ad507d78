"""Workers come and go while they work."""

import signal
import time

from support.waiting import until

from .site import SECONDS, disturbing


def begun(site, share=10):
    until(lambda: len(site.ran()) > len(site.expected) / share, "the work has begun", 30)


def test_rolling_deploys_lose_and_double_nothing(site, work, report):
    for _ in range(3):
        site.worker()
    work.everything(int(8 * SECONDS))
    begun(site)
    for _ in disturbing():
        old = site.rng.choice(site.alive())
        site.worker()
        assert old.stop(30) == 0
    site.rest()
    assert site.verdict() == {}
    report("rolling deploys", f"{site.began - 3} restarts, {len(site.expected)} runs, 0 lost, 0 doubled")


def test_kills_lose_nothing_and_double_only_what_ran(site, work, report):
    for _ in range(3):
        site.worker()
    work.everything(int(8 * SECONDS))
    begun(site)
    kills = 0
    for _ in disturbing():
        old = site.rng.choice(site.alive())
        site.worker()
        old.kill()
        kills += 1
    site.rest()
    doubled = site.verdict()
    assert len(doubled) <= kills * 4 * 2, "each may run again, and so may what it was about to settle"
    report("kill -9", f"{kills} kills, {len(site.expected)} runs, 0 lost, {len(doubled)} of those running ran again")


def test_what_is_held_survives_whatever_changes_the_fetching(site, work, report):
    """Countdowns are held for long, while queues are added and cancelled and connections die."""
    worker = site.worker()
    work.countdowns(60, 6, 9)
    until(lambda: site.left() == (0, 60), "all are held")
    changes = 0
    for _ in disturbing(4):
        change = site.rng.choice(["add", "cancel", "kill"])
        if change == "kill":
            site.broker.client.client_kill_filter(_type="normal", skipme=True)
        else:
            site.tell(worker, f"{change}_consumer", queue="more")
        work.countdowns(5, 2, 5)
        changes += 1
    old, new = worker, site.worker()
    assert old.stop(30) == 0
    assert new.running
    site.rest()
    assert site.verdict() == {}
    report("held countdowns", f"{changes} changes and a deploy, {len(site.expected)} runs, 0 lost, 0 doubled")


def test_a_worker_that_was_away_does_not_begin_what_others_took(site, work, report):
    """Stopped for longer than its lease; its countdowns are due when it goes on."""
    sleeper = site.worker()
    work.countdowns(60, 3, 5)
    until(lambda: site.left() == (0, 60), "all are held")
    site.worker()
    sleeper.signal(signal.SIGSTOP)
    until(lambda: site.expected <= set(site.ran()), "another has run them", 40)
    sleeper.signal(signal.SIGCONT)
    work.tasks(40)
    site.rest()
    assert site.verdict() == {}
    report("a worker stopped beyond its lease", "60 countdowns, 0 lost, 0 doubled")


def test_paused_workers_double_only_what_they_ran(site, work, report):
    for _ in range(3):
        site.worker()
    work.everything(int(8 * SECONDS))
    pauses = 0
    for _ in disturbing():
        sleeper = site.rng.choice(site.alive())
        sleeper.signal(signal.SIGSTOP)
        time.sleep(site.rng.uniform(0.5, 5))
        sleeper.signal(signal.SIGCONT)
        pauses += 1
    site.rest()
    doubled = site.verdict()
    # Those that ran, and those that were about to be settled.
    assert len(doubled) <= pauses * 4 * 2
    report("paused workers", f"{pauses} pauses, {len(site.expected)} runs, 0 lost, {len(doubled)} doubled")
