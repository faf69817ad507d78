"""`ingest.run` in the real worker, against a server of data sets that fails."""

import json
import time

import pytest
from celery import Celery, uuid

from support.hub import Hub
from support.process import Process
from support.workers import workers_command

ROWS = [{"input": f"My order {n} is late!", "output": f"Sorry about {n}. ^AB", "meta": "[{" * 9}
        for n in range(250)]
WORDS = "The dataset does not exist, or is not accessible"
#: The hub's own way to say that it is not ready yet.
BUSY = (500, {"x-error-code": "ResponseNotReady", "content-type": "application/json"},
        json.dumps({"error": "The server is busier than usual and the response is not ready yet."}))


@pytest.fixture(scope="module")
def hub():
    hub = Hub(ROWS)
    yield hub
    hub.stop()


@pytest.fixture
def ingest(hub, redis, tmp_path):
    """Runs the task once in a worker with an empty store."""
    queue, workers = f"ingest-{uuid()[:8]}", []
    app = Celery("service", broker=redis.url, backend=redis.url, set_as_current=False)
    env = {"CELERY_BROKER_URL": redis.url, "CELERY_RESULT_BACKEND": redis.url,
           "CELERIAC_STORE_URL": f"sqlite://{tmp_path}/calls.db",
           "CELERIAC_INGEST_SOURCE": "huggingface", "CELERIAC_INGEST_DATASET": "someone/calls",
           "CELERIAC_INGEST_ENDPOINT": hub.url, "CELERIAC_INGEST_RETRY_BACKOFF_SECONDS": "0.01",
           "CELERIAC_INGEST_TRANSCRIPTS_DIR": str(tmp_path / "transcripts"),
           "CELERIAC_INGEST_QUEUE": f"{queue}-insights"}
    hub.refusal, hub.truncated, hub.requests[:] = None, [], []

    def ingest(**options):
        if not workers:
            argv = [workers_command(), "-n", f"{queue}@test", "-c", 2, "-Q", queue]
            workers.append(Process("workers", argv, tmp_path, env))
            workers[0].wait_for_log("ready.", 60)
        return app.send_task("ingest.run", queue=queue, **options)

    try:
        workers_command()
    except StopIteration:
        pytest.skip("the programs are not built: cargo build --workspace")
    yield ingest
    for worker in workers:
        worker.stop()


def test_a_cut_cell_that_nobody_reads_loses_no_row(ingest, hub, tmp_path):
    hub.truncated = ["meta"]
    report = ingest().get(timeout=30)
    assert (report["stored"], report["invalid"], report["next_offset"]) == (250, 0, 250)
    assert "kept aside" not in (tmp_path / "workers.log").read_text()


def test_a_cut_cell_that_is_read_is_told_once_a_page(ingest, hub, tmp_path):
    hub.truncated = ["input"]
    assert ingest().get(timeout=30)["invalid"] == 250
    assert (tmp_path / "workers.log").read_text().count("kept aside") == 3


@pytest.mark.parametrize("status", [401, 404, 501])
def test_what_lasts_fails_at_once_with_the_servers_words(ingest, hub, status):
    hub.refusal = (status, {"content-type": "application/json"}, json.dumps({"error": WORDS}))
    running = ingest()
    began = time.monotonic()
    with pytest.raises(Exception, match=f"{status} .*: {WORDS}"):
        running.get(timeout=30)
    assert time.monotonic() - began < 5
    # Those that are fetched ahead are asked for once, too.
    assert len(hub.requests) == len({query["offset"] for query in hub.requests})


def test_an_outage_that_lasts_is_left_to_the_next_run(ingest, hub):
    hub.refusal = BUSY
    # The last of its runs; those before are some time apart.
    report = ingest(retries=3).get(timeout=30)
    assert report["postponed"].startswith("come back later: fetching the rows from 0 on: ")
    assert "500 Internal Server Error: The server is busier" in report["postponed"]
    assert (report["stored"], report["next_offset"], report["exhausted"]) == (0, 0, False)
    hub.refusal = None
    report = ingest().get(timeout=30)
    assert (report["stored"], report["exhausted"]) == (250, True)
    assert "postponed" not in report


def test_an_outage_is_tried_again_first(ingest, hub):
    hub.refusal = BUSY
    running = ingest()
    began = time.monotonic()
    while running.state != "RETRY":
        assert running.state == "PENDING" and time.monotonic() - began < 20
        time.sleep(0.05)
    assert len(hub.requests) >= 4
