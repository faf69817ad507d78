"""Redis by TLS, from every program; what is wrong with it is said and nothing panics."""

import os
import subprocess

import pytest
from celery import Celery, signature

from support.beats import beat_program
from support.commands import Command, rust
from support.rust_client import RustClient
from support.tls import Authority, TlsServer
from support.waiting import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory):
    server = TlsServer(tmp_path_factory.mktemp("tls"), authority)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def strict(authority, tmp_path_factory):
    """One that wants to see its clients' certificates."""
    server = TlsServer(tmp_path_factory.mktemp("strict"), authority, clients=True)
    yield server
    server.stop()


@pytest.fixture
def launch(tmp_path, redis):
    started = []

    def launch(url, *options, settings="", **environment):
        config = tmp_path / "tls.toml"
        config.write_text(settings)
        environment = {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url, **environment}
        command = Command(rust, tmp_path, redis, "--config", config, *options, **environment)
        started.append(command)
        return command

    yield launch
    for command in started:
        command.child.kill()
        command.wait()


def three(server):
    """A Python client's sum, with that client's own certificate."""
    certificate, key = server.authority.issue("client")
    ssl = {"ssl_ca_certs": str(server.authority.certificate), "ssl_cert_reqs": "required",
           "ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    app = Celery("client", broker=server.url, backend=server.url, set_as_current=False,
                 broker_use_ssl=ssl, redis_backend_use_ssl=ssl)
    result = app.send_task("t.integration.tasks.add", [1, 2])
    return result.get(timeout=15)


def test_an_authority_is_named_in_the_url(launch, server, authority):
    url = server.to(ssl_cert_reqs="required", ssl_ca_certs=authority.certificate)
    launch(url).until_ready()
    assert three(server) == 3


def test_an_authority_is_named_in_the_settings(launch, server, authority):
    ssl = f'{{ ssl_ca_certs = "{authority.certificate}", ssl_cert_reqs = "CERT_REQUIRED" }}'
    settings = f"broker_use_ssl = {ssl}\nredis_backend_use_ssl = {ssl}\n"
    plain = server.url.replace("rediss", "redis")
    launch(plain, settings=settings).until_ready()
    assert three(server) == 3


def test_an_authority_is_named_in_the_environment(launch, server, authority):
    launch(server.url, SSL_CERT_FILE=str(authority.certificate)).until_ready()
    assert three(server) == 3


def test_a_client_shows_its_certificate(launch, strict, authority):
    certificate, key = authority.issue("worker")
    url = strict.to(ssl_ca_certs=authority.certificate, ssl_certfile=certificate, ssl_keyfile=key)
    launch(url).until_ready()
    assert three(strict) == 3


def test_verifying_can_be_left_out(launch, server):
    launch(server.to(ssl_cert_reqs="none")).until_ready()
    assert three(server) == 3


def test_a_name_need_not_fit(launch, authority, tmp_path):
    elsewhere = TlsServer(tmp_path, authority, hosts=["DNS:elsewhere.example"])
    try:
        named = {"ssl_ca_certs": authority.certificate}
        refused = launch(elsewhere.to(**named))
        until(lambda: "not valid for name" in refused.logged(), "it says why")
        launch(elsewhere.to(**named, ssl_check_hostname="false")).until_ready()
    finally:
        elsewhere.stop()


def test_an_unknown_authority_is_said(launch, server):
    worker = launch(server.url)
    until(lambda: "invalid peer certificate" in worker.logged(), "it says why", 15)
    assert "panicked" not in worker.logged()


@pytest.mark.parametrize("query, settings, said", [
    ("ssl_ca_certs=/nowhere.pem", "", "/nowhere.pem"),
    ("ssl_keyfile=/nowhere.key", "", "ssl_certfile"),
    ("ssl_ciphers=ALL", "", "ssl_ciphers"),
    ("ssl_cert_reqs=never", "", "ssl_cert_reqs"),
    ("", "broker_use_ssl = { ssl_ca_path = '/etc' }", "ssl_ca_path"),
    ("", "broker_use_ssl = { ssl_cert_reqs = 'never' }", "required"),
    ("", "redis_backend_use_ssl = { ssl_ca_certs = '/nowhere.pem' }", "/nowhere.pem"),
])
def test_what_cannot_be_honoured_is_refused_by_name(launch, server, query, settings, said):
    worker = launch(f"{server.url}?{query}", settings=settings, SSL_CERT_FILE=str(
        server.authority.certificate))
    assert worker.wait() != 0
    assert said in worker.logged() + worker.printed()


def test_beats_share_a_schedule(server, authority, tmp_path):
    config = tmp_path / "beat.toml"
    config.write_text("beat_scheduler = 'shared'\n")
    environment = {**os.environ, "CELERY_BROKER_URL": server.url, "CELERIAC_CONFIG": str(config),
                   "SSL_CERT_FILE": str(authority.certificate)}
    listed = subprocess.run([beat_program(), "list"], env=environment, cwd=tmp_path, text=True,
                            capture_output=True, timeout=30)
    assert listed.returncode == 0, listed.stderr


def test_a_rust_client_hears_results_and_replies(launch, server, authority, tmp_path):
    url = server.to(ssl_ca_certs=authority.certificate)
    launch(url, "-n", "w@tls").until_ready()
    client = RustClient(tmp_path, url, url)
    sent = client.send(signature("t.integration.tasks.add", [1, 2]))
    assert client.ask("get", result=sent) == 3
    answers = client.ask("control", command="ping", arguments={}, destination=["w@tls"])
    client.stop()
    assert "pong" in str(answers)
