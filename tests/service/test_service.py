"""From a transcript to the API, started as the README says, with Python looking on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error

import pytest

from running import PROGRAMS, ROOT, START, Service, pasted
from support.flower import Flower
from support.waiting import until

pytestmark = pytest.mark.timeout(900)

CALL = {
    "call_id": "from-python-1",
    "agent_id": "python",
    "transcript_customer": "The parcel never came and nobody answers. I am very angry.",
    "transcript_agent": "I am so sorry. I will send it again today.",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    if not PROGRAMS.exists():
        pytest.skip("the programs are not built: make build")
    service = Service(tmp_path_factory.mktemp("service"))
    try:
        service.start().up()
        yield service
    finally:
        service.stop()


def test_the_first_ingestion_fills_the_service(service):
    assert service.up() >= 300
    assert service.processed() >= 300


def test_every_printed_curl_can_be_pasted(service):
    sign_in, curls = service.printed_curls()
    *answers, metrics, health = [pasted(sign_in, curl) for curl in curls]
    listed, found, of_agent, call, recommended, agents = map(json.loads, answers)
    assert len(listed["data"]) == 2 and listed["total"] >= 300
    assert found["total"] >= 1, "no call about a refund"
    assert all(-1 <= each["customer_sentiment_score"] <= 0 for each in found["data"])
    assert call["call_id"] in [each["call_id"] for each in of_agent["data"]]
    assert call["call_id"] == recommended["call_id"]
    assert len(recommended["similar_calls"]) == 5
    assert len(recommended["coaching_nudges"]) == 3
    assert sum(agent["total_calls"] for agent in agents) >= 300
    assert re.search(r'calls\{state="processed"\} (\d{3,})', metrics)
    assert json.loads(health)["status"] == "ok"


def test_the_documentation_is_where_the_terminal_says(service):
    page = pasted(f"curl -sf {service.setting('CELERIAC_API_URL')}/docs")
    assert "<html" in page.lower()


def test_flower_is_where_the_terminal_says_and_shows_the_worker(service):
    url = re.search(r"^  Flower +(http://127\.0\.0\.1:\d+)$", service.terminal, re.MULTILINE)[1]
    assert url == service.setting("CELERIAC_FLOWER_URL")
    flower = Flower(url)

    def counted():
        workers = flower.get("/workers?json=1")["data"]
        return workers and workers[0]["status"] and workers[0]["task-succeeded"]

    before = flower.shows(counted, "the worker is online, and has run tasks")
    service.app.send_task("insights.process", kwargs={"call": CALL}).get(timeout=10)
    flower.shows(lambda: counted() > before, "it has run one more")
    # Whoever may look may not steer: there is no password.
    with pytest.raises(urllib.error.HTTPError, match="40[13]"):
        flower.post("/api/task/send-task/ingest.run")


def test_the_service_does_not_need_flower(service):
    killed = [pid for pid, command in service.command_lines().items() if " flower " in command]
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not set(killed) & service.processes().keys(), "Flower has gone")
    service.app.send_task("insights.process", kwargs={"call": CALL}).get(timeout=10)
    assert service.make.poll() is None


def test_nobody_reads_calls_without_a_token(service):
    status, answer = service.ask("/api/v1/calls/")
    assert status == 401 and answer["detail"]


def test_python_has_a_call_processed(service):
    app = service.app
    result = app.send_task("insights.process", kwargs={"call": CALL}).get(timeout=10)
    call = service.get(f"/api/v1/calls/{result['call_id']}")
    assert call["agent_id"] == "python"
    assert call["agent_talk_ratio"] == 0.48
    assert call["customer_sentiment_score"] < 0


def test_python_calls_it_by_its_stub(service, tmp_path):
    """As docs/python-and-rust.md says: a module that takes the place of the tasks' own."""
    with (tmp_path / "insights.py").open("w") as module:
        subprocess.run([PROGRAMS, "stubs", "insights"], cwd=ROOT, stdout=module, check=True)
    script = f"""
import inspect, json
from celery import Celery
app = Celery(broker={service.redis_url!r}, backend={service.redis_url!r})
app.conf.task_routes = {{"insights.*": {{"queue": "insights"}}}}
import insights
assert insights.process.name == "insights.process"
assert list(inspect.signature(insights.process).parameters) == ["call"]
print(json.dumps(insights.process.delay(call={CALL!r}).get(timeout=10)))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False,
                         capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert service.get(f"/api/v1/calls/{result['call_id']}")["agent_id"] == "python"


def test_a_second_delivery_changes_nothing(service):
    app = service.app
    app.send_task("insights.process", kwargs={"call": CALL}).get(timeout=10)
    before = service.processed(), service.get("/api/v1/analytics/agents")
    app.send_task("insights.process", kwargs={"call": CALL}).get(timeout=10)
    assert (service.processed(), service.get("/api/v1/analytics/agents")) == before


def test_python_starts_an_ingestion(service):
    before = service.processed()
    report = service.app.send_task("ingest.run").get(timeout=60)
    assert {"fetched", "stored", "duplicates", "invalid"} <= report.keys()
    assert report["stored"] == 0, "the sample is in already"
    assert service.processed() == before


def test_a_second_start_says_that_it_runs_already(service):
    again = subprocess.run(["make", "run"], cwd=ROOT, env=service.environment,
                           capture_output=True, text=True, timeout=60)
    assert again.returncode != 0
    assert "already running" in again.stderr
    assert service.redis_url in again.stderr
    assert service.ask("/health")[0] == 200


def test_a_taken_port_is_named(service, tmp_path):
    taken = service.setting("CELERIAC_API_URL").rsplit(":", 1)[1]
    other = Service(tmp_path, CELERIAC_API_PORT=taken).start()
    assert other.make.wait(START) != 0
    assert f"port {taken}" in other.terminal and "CELERIAC_API_PORT=" in other.terminal
    assert not other.processes()


def test_ctrl_c_leaves_no_process_and_loses_no_task(service):
    calls = 300
    before = service.processed()
    app = service.app
    for number in range(calls):
        call = {**CALL, "call_id": f"ctrl-c-{number}", "transcript_agent": f"Case {number}, sorry."}
        app.send_task("insights.process", kwargs={"call": call}, ignore_result=True)
    service.ctrl_c()
    until(lambda: not service.processes(), "every process has ended")

    began = time.monotonic()
    service.start()
    until(lambda: (service.var / "running.env").exists(), "the service starts", 30)
    service.up()
    assert time.monotonic() - began < 30
    until(lambda: service.processed() == before + calls, "no call is lost", 120)


def test_sigterm_stops_it_too(service):
    service.stop()
    until(lambda: not service.processes(), "every process has ended")
