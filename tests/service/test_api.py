"""The API, tried by clumsy users and by attackers."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.api import Api, api_command
from support.waiting import until

CALLS = "/api/v1/calls/"


@pytest.fixture(scope="module", autouse=True)
def built():
    if not api_command():
        pytest.skip("the programs are not built: cargo build --workspace")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    api = Api(tmp_path_factory.mktemp("api"))
    try:
        api.call = api.fill(8000)
        yield api
    finally:
        api.stop()


def test_the_document_is_valid(api):
    from openapi_spec_validator import validate

    document = api.get("/openapi.json")[2]
    validate(document)
    assert document["info"]["license"]["name"] == "Apache-2.0" and document["servers"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"] and operation["description"], path


@pytest.mark.parametrize("accept", ["*/*", "text/plain",
                                    "application/openmetrics-text;version=1.0.0,text/plain;q=0.3"])
def test_metrics_are_what_the_document_says(api, accept):
    document = api.get("/openapi.json")[2]
    documented = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    status, headers, text = api.ask("/metrics", headers={"accept": accept})
    assert status == 200 and headers["content-type"] in documented
    assert headers["content-type"].startswith("application/openmetrics") == ("open" in accept)
    assert text.endswith(b"# EOF\n") == ("open" in accept)


@pytest.mark.parametrize("path, allow", [
    ("/signin", "POST"), (CALLS, "GET, HEAD"), ("/health", "GET, HEAD"), ("/docs", "GET, HEAD"),
    ("/openapi.json", "GET, HEAD"), ("/metrics", "GET, HEAD"), (f"{CALLS}x", "GET, HEAD"),
])
def test_other_methods_are_told_the_right_one(api, path, allow):
    for method in ("TRACE", "DELETE", "OPTIONS"):
        status, headers, _ = api.ask(path, method=method)
        assert (status, headers["allow"]) == (405, allow), method


def test_a_search_has_a_limit(api):
    for q in ["i+" * 8000, "+".join(map(str, range(33))), "a-" * 200]:
        began = time.monotonic()
        # The same word again costs nothing, but it has characters.
        status, _, refused = api.get(f"{CALLS}?q={q}")
        assert status == 422 and time.monotonic() - began < 5
        assert refused == {"detail": "`q` may have 32 words and 300 characters"}
    status, _, found = api.get(f"{CALLS}?limit=3&q={'late+parcel+' * 25}")
    assert (status, found["total"], len(found["data"])) == (200, 8000, 3)
    assert api.get(f"{CALLS}?q=parcel+7999&limit=100")[2]["total"] == 1
    assert api.get(f"{CALLS}?limit=100&offset=7990")[2]["total"] == 8000
    assert api.get(f"{CALLS}?limit=100&offset=9000")[2]["total"] == 8000


def test_recommendations_leave_room_for_others(api):
    path = f"{CALLS}{api.call}/recommendations"
    with ThreadPoolExecutor(40) as crowd:
        asked = [crowd.submit(api.get, path) for _ in range(40)]
        healthy = []
        while not all(each.done() for each in asked):
            began = time.monotonic()
            assert api.ask("/health")[0] == 200
            healthy.append(time.monotonic() - began)
    answers = [each.result() for each in asked]
    served = [answer for status, _, answer in answers if status == 200]
    refused = [(headers, answer) for status, headers, answer in answers if status == 503]
    assert served and refused and len(served) + len(refused) == 40
    assert all(len(answer["similar_calls"]) == 5 for answer in served)
    assert all(headers["retry-after"] == "1" for headers, _ in refused)
    assert "too many" in refused[0][1]["detail"]
    assert max(healthy) < 3


#: What may be sent of a request, and the answer to it if it gets one.
HALVES = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half a head": b"GET /health HTTP/1.1\r\nhost: x\r\n",
    "half a body": b"POST /signin HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                   b"content-length: 100\r\n\r\n{",
    "half a chunk": b"POST /signin HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                    b"transfer-encoding: chunked\r\n\r\nff\r\n{",
    "no second request": b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
}


def test_half_requests_are_not_waited_for(api):
    clients = {}
    for name, half in HALVES.items():
        client = clients[name] = socket.create_connection(("127.0.0.1", api.port), timeout=60)
        client.sendall(half)
    began = time.monotonic()
    for name, client in clients.items():
        said = b""
        while part := client.recv(65536):
            said += part
        client.close()
        if "body" in name or "chunk" in name:
            assert said.startswith(b"HTTP/1.1 408"), name
            assert json.loads(said.split(b"\r\n\r\n", 1)[1]) == {"detail": "the body takes too long"}
    assert 10 < time.monotonic() - began < 45


def test_a_crowd_that_says_nothing_burns_nothing_and_is_sent_away(tmp_path):
    api = Api(tmp_path, files=200)
    crowd = []
    try:
        for _ in range(300):
            client = socket.create_connection(("127.0.0.1", api.port), timeout=30)
            client.sendall(b"GET /hea")
            crowd.append(client)
        before = api.cpu_seconds()
        time.sleep(2)
        assert api.cpu_seconds() - before < 0.5
        # Nobody leaves of their own accord.
        until(lambda: served(api), "another is served", 60, interval=1)
        assert "as many connections as there may be" in api.log.read_text()
    finally:
        for client in crowd:
            client.close()
        api.stop()


def test_a_head_has_a_limit(api):
    for path in ["/health?" + "x" * 60_000, "/health"]:
        assert api.ask(path)[0] == 200
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000)
        assert client.recv(65536).startswith(b"HTTP/1.1 431")


def served(api):
    try:
        return api.ask("/health", timeout=40)[0] == 200
    except OSError:
        return False


def test_a_shutdown_does_not_wait_for_the_idle(tmp_path):
    api = Api(tmp_path)
    with socket.create_connection(("127.0.0.1", api.port)) as idle:
        idle.sendall(HALVES["no second request"])
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        api.child.terminate()
        assert api.wait(timeout=5) == 0
