"""Connections that are refused, closed, slow or of no use, and what comes after them."""

import socket
import time

import pytest

from conftest import client
from support.commands import Command, rust
from support.lane import Lane
from support.redis_server import free_port
from support.relay import SlowRelay
from support.waiting import until


@pytest.fixture
def launch(tmp_path, durable_redis, redis):
    """Starts the program; what its tasks do is seen in a Redis that nobody harms."""
    started = []

    def launch(*options, url=durable_redis.url, settings="", **environment):
        config = tmp_path / f"{len(started)}.toml"
        config.write_text(settings)
        urls = {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
        command = Command(rust, tmp_path, redis, "--config", config, "-Q", "own", *options,
                          **{**urls, **environment})
        started.append(command)
        return command

    yield launch
    for command in started:
        command.child.kill()
        command.wait()


class Asking(Lane):
    """A client whose connections are cut, too: it may not be told of a result that is
    stored while it subscribes again, and so waits until there is one."""

    def call(self, name, *args):
        sent = self.send(name, *args)
        until(lambda: self.meta(sent), "its result is stored", 15)
        return sent.get(timeout=5)


@pytest.fixture
def own(durable_redis):
    return Asking(client(durable_redis), durable_redis, "own")


def drop_all(server):
    """Every connection but ours."""
    server.client.execute_command("CLIENT", "KILL", "SKIPME", "yes")


# ---- Refused for a while

def refusals(server):
    """What makes a server refuse who connects, and what ends it."""
    acl = server.client.execute_command
    return {
        "WRONGPASS": (lambda: acl("ACL", "SETUSER", "worker", "resetpass", ">other"),
                      lambda: acl("ACL", "SETUSER", "worker", "resetpass", ">secret")),
        "NOPERM": (lambda: acl("ACL", "SETUSER", "worker", "-@all"),
                   lambda: acl("ACL", "SETUSER", "worker", "+@all")),
        "max number of clients": (lambda: server.client.config_set("maxclients", 1),
                                  lambda: server.client.config_set("maxclients", 1000)),
    }


@pytest.mark.parametrize("refusal", ["WRONGPASS", "NOPERM", "max number of clients"])
def test_who_was_refused_is_back_within_five_seconds(launch, own, durable_redis, refusal):
    """The worker, its results and its remote control; whatever the answer was."""
    durable_redis.client.execute_command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*",
                                         "+@all")
    url = durable_redis.url.replace("redis://", "redis://worker:secret@")
    worker = launch("-n", "w@refused", url=url).until_ready()
    assert own.call("add", 1, 1) == 2
    begin, end = refusals(durable_redis)[refusal]
    begin()
    drop_all(durable_redis)
    until(lambda: "Cannot connect to" in worker.logged(), "it says so", 15)
    # Redis closes what is one too many, and its reason may not be read before.
    assert refusal in worker.logged() or refusal == "max number of clients"
    time.sleep(3)
    end()
    began = time.monotonic()
    assert own.call("add", 1, 2) == 3
    until(lambda: own.app.control.ping(["w@refused"], timeout=0.5), "it answers")
    # What waiting for the answer takes is no part of it.
    assert time.monotonic() - began < 6
    assert worker.logged().count("Trying again in") < 4, "it says so once"
    assert "secret" not in worker.logged()


def test_a_replica_is_said_and_left_once_it_leads(launch, own, durable_redis):
    worker = launch().until_ready()
    assert own.call("add", 1, 1) == 2
    durable_redis.client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    until(lambda: "Cannot connect to" in worker.logged(), "it says so", 15)
    assert "READONLY" in worker.logged() or "MASTERDOWN" in worker.logged()
    durable_redis.client.execute_command("REPLICAOF", "NO", "ONE")
    began = time.monotonic()
    assert own.call("add", 1, 2) == 3
    assert time.monotonic() - began < 5


# ---- Closed while idle

def test_a_server_that_closes_what_is_idle_costs_no_time_and_no_error(launch, own, durable_redis):
    durable_redis.client.config_set("timeout", 1)
    worker = launch().until_ready()
    time.sleep(12)
    began = time.monotonic()
    assert own.call("add", 1, 2) == 3
    assert time.monotonic() - began < 1
    assert "ERROR" not in worker.logged(), worker.logged()


def test_a_connection_that_worked_is_opened_again_at_once(launch, own, durable_redis):
    worker = launch().until_ready()
    for n in range(5):
        drop_all(durable_redis)
        began = time.monotonic()
        assert own.call("add", n, 2) == n + 2
        assert time.monotonic() - began < 1
    assert "Trying again in" not in worker.logged()


# ---- Slow

MEGABYTE = 1_000_000


@pytest.fixture
def slow(durable_redis):
    """A way to Redis for a megabyte a second, both ways."""
    relay = SlowRelay(durable_redis.port, MEGABYTE)
    yield relay
    relay.close()


def test_much_gets_through_a_slow_link(launch, own, slow, redis):
    launch("-c", "16", url=slow.url, settings="worker_prefetch_multiplier = 4\n").until_ready()
    redis.client.delete("slow")
    for n in range(10):
        own.apply("interop.record", [n, "slow"], ignore_result=True,
                  headers={"padding": "x" * (MEGABYTE * 13 // 10)})
    until(lambda: redis.client.llen("slow") >= 10, "all have run", 60)
    until(lambda: own.held() == 0, "all are settled", 20)
    assert sorted(map(int, redis.client.lrange("slow", 0, -1))) == list(range(10))


def test_what_takes_longer_than_an_answer_may_gets_through(launch, own, slow):
    """The time-out is for a link on which nothing moves."""
    settings = ("broker_transport_options = { socket_timeout = 2 }\n"
                "redis_socket_timeout = 2\n")
    launch(url=slow.url, settings=settings).until_ready()
    large = "x" * (6 * MEGABYTE)
    assert own.send("identity", large).get(timeout=60) == large


# ---- Settings

@pytest.mark.parametrize("settings", ["broker_connection_retry_on_startup = false\n",
                                      "broker_connection_retry = false\n",
                                      "broker_connection_max_retries = 2\n"])
def test_a_broker_that_is_not_there_need_not_be_waited_for(launch, settings):
    worker = launch(url=f"redis://127.0.0.1:{free_port()}/0", settings=settings)
    assert worker.wait() == 1
    assert "onnection refused" in worker.logged()


def test_a_database_that_is_not_there_ends_the_worker(launch, durable_redis):
    url = durable_redis.url.replace("/0", "/99")
    worker = launch(url=url)
    assert worker.wait() == 1
    assert f"{url}: ERR DB index is out of range" in worker.logged()


def test_a_lost_broker_need_not_be_waited_for(launch, own, durable_redis):
    worker = launch(settings="broker_connection_retry = false\n").until_ready()
    durable_redis.kill()
    assert worker.wait() == 1
    assert "lost for good" in worker.logged()


def test_time_for_connecting_is_bounded(launch):
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings = "broker_connection_timeout = 0.5\nbroker_connection_retry = false\n"
        began = time.monotonic()
        worker = launch(url=url, settings=settings)
        assert worker.wait() == 1
        assert time.monotonic() - began < 4
        assert "no connection in time" in worker.logged()


def test_connections_have_the_name_that_people_look_for(launch, durable_redis):
    settings = "broker_transport_options = { client_name = 'shop' }\n"
    launch(settings=settings).until_ready()
    names = [connection["name"] for connection in durable_redis.client.client_list()]
    assert "shop" in names
