"""What every test of this kind stands on."""

import os
import random

import pytest

from support.redis_server import RedisServer

from .site import SECONDS, Site
from .workload import Workload


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.timeout(120 + 12 * SECONDS))


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    """What has run; nobody harms it."""
    server = RedisServer(tmp_path_factory.mktemp("truth"))
    yield server
    server.stop()


@pytest.fixture
def rng():
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    print(f"CHAOS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def site(tmp_path, truth, rng):
    site = Site(tmp_path, truth, rng)
    yield site
    site.close()


@pytest.fixture
def work(site):
    return Workload(site)

