"""`workers ping` tells whether a worker is alive."""

import os
import subprocess

from support.waiting import until
from support.workers import rust_worker, workers_command


def ping(redis, nodename):
    return subprocess.run(
        [workers_command(), "ping", "-n", nodename],
        env={**os.environ, "CELERY_BROKER_URL": redis.url},
        capture_output=True, text=True, check=False,
    )


def test_only_a_living_worker_answers(durable_redis, redis, tmp_path):
    assert ping(durable_redis, "pinged@test").returncode == 1
    lease = {"broker_transport_options": {"worker_lease": 1}}
    worker = rust_worker(durable_redis, redis, tmp_path, "pinged", ["lane"], settings=lease)
    try:
        until(lambda: ping(durable_redis, "pinged@test").returncode == 0, "it answers")
        assert ping(durable_redis, "pinged@test").stdout == "pinged@test: OK pong\n"
        assert "other@test is not alive" in ping(durable_redis, "other@test").stderr
    finally:
        worker.kill()
    until(lambda: ping(durable_redis, "pinged@test").returncode == 1, "its lease ends")
