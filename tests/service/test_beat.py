"""What beat sends, as Python sees it."""

import pytest

from running import PROGRAMS
from support.process import Process

TICK = (
    '{ tick = { task = "t.integration.tasks.add", schedule = 0.5, args = [2, 3], kwargs = { z = 1 },'
    ' options = { queue = "ticks", expires = 60, priority = 3 } } }'
)


@pytest.fixture
def beat(redis, tmp_path):
    program = PROGRAMS.with_name("beat")
    if not program.exists():
        pytest.skip("the programs are not built: make build")
    settings = {"CELERY_BROKER_URL": redis.url, "CELERY_BEAT_SCHEDULE": TICK}
    process = Process("beat", [program], tmp_path, env=settings)
    yield process
    process.stop()


def test_python_receives_what_beat_sends(app, beat):
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("ticks")
        first, second = (queue.get(timeout=10) for _ in range(2))
    assert first.headers["task"] == "t.integration.tasks.add"
    assert first.headers["expires"]
    assert first.payload[:2] == [[2, 3], {"z": 1}]
    assert first.properties["priority"] == 3
    assert first.headers["id"] != second.headers["id"]
    assert beat.stop() == 0
