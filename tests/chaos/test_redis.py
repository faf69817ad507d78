"""Redis dies, hangs, fills up, turns away, and comes back."""

import signal
import time

import pytest

from support.waiting import until

from .site import SECONDS, disturbing

#: What Redis does, and what mends it.
FAULTS = {}


def fault(function):
    FAULTS[function.__name__] = function
    return function


@fault
def killed(site):
    site.broker.kill()
    time.sleep(site.rng.uniform(0, 1))
    site.broker.start()


@fault
def hung(site):
    site.broker.process.signal(signal.SIGSTOP)
    time.sleep(site.rng.uniform(1, 5))
    site.broker.process.signal(signal.SIGCONT)


@fault
def full(site):
    site.broker.client.config_set("maxmemory", 1)
    time.sleep(site.rng.uniform(1, 5))
    site.broker.client.config_set("maxmemory", 0)


@fault
def without_its_disk(site):
    """As MISCONF; a replica that is missing gives the same refusal by a setting."""
    site.broker.client.config_set("min-replicas-to-write", 1)
    time.sleep(site.rng.uniform(1, 5))
    site.broker.client.config_set("min-replicas-to-write", 0)


@fault
def read_only(site):
    """A failover: it is a replica for a while, and keeps its clients."""
    site.broker.client.replicaof("127.0.0.1", "1")
    time.sleep(site.rng.uniform(1, 5))
    site.broker.client.replicaof("NO", "ONE")


@fault
def with_another_password(site):
    site.broker.client.config_set("requirepass", "new")
    site.broker.client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
    time.sleep(site.rng.uniform(1, 5))
    site.broker.client.config_set("requirepass", "")


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_or_doubled_while_redis_is(site, work, name, report):
    for _ in range(2):
        site.worker()
    work.everything(int(4 * SECONDS))
    until(lambda: len(site.ran()) > 20, "the work has begun", 30)
    times = 0
    for _ in disturbing(SECONDS / 2):
        FAULTS[name](site)
        times += 1
        time.sleep(site.rng.uniform(0.1, 0.5))
    began = time.monotonic()
    site.rest()
    assert site.verdict() == {}
    assert len(site.alive()) == 2
    report(f"Redis {name.replace('_', ' ')}",
           f"{times} times, {len(site.expected)} runs, 0 lost, 0 doubled, "
           f"at rest after {time.monotonic() - began:.1f} s")
