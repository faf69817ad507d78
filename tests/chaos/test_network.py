"""What lies between the workers and Redis delays, cuts and swallows."""

import time
from types import SimpleNamespace

import pytest

from support.waiting import until

from .relay import Network
from .site import SECONDS, disturbing


@pytest.fixture
def network(site):
    network = Network(site.broker.port)
    site.address = SimpleNamespace(url=network.url)
    yield network
    network.close()


def test_a_bad_network_loses_nothing(site, work, network, report):
    for _ in range(2):
        site.worker()
    work.everything(int(6 * SECONDS))
    until(lambda: len(site.ran()) > 20, "the work has begun", 30)
    faults = 0
    for _ in disturbing():
        fault = site.rng.choice(["delay", "cut", "silence"])
        if fault == "delay":
            network.delay = site.rng.uniform(0.01, 0.2)
        elif fault == "cut":
            network.cut()
        else:
            network.fall_silent()
        faults += 1
        time.sleep(site.rng.uniform(0.3, 1.5))
        network.delay = 0
    site.rest(150)
    doubled = site.verdict()
    # Silence beyond a lease is a worker's death to all others: what it ran runs again.
    assert len(doubled) <= faults * 8
    report("a bad network", f"{faults} faults, {len(site.expected)} runs, 0 lost, {len(doubled)} doubled")
