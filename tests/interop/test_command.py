"""The program itself: options, banner, log lines, exit codes, probes and metrics."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request

import pytest
from celery import chord, uuid
from celery.exceptions import TimeLimitExceeded
from celery.utils.nodenames import default_nodename, host_format, node_format

from conftest import client
from support.commands import BOTH, Command, rust
from support.lane import Lane, full_name
from support.monitor import monitoring
from support.redis_server import free_port
from support.twins import UUID
from support.waiting import until
from support.workers import until_listening

ANY_KIND = pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)


@pytest.fixture
def launch(durable_redis, tmp_path):
    """Starts a program on a Redis of its own; it ends with the test."""
    started = []

    def launch(kind, *options, redis=durable_redis, **environment):
        command = Command(kind, tmp_path, redis, *options, **environment)
        started.append(command)
        return command

    yield launch
    for command in started:
        command.child.kill()
        command.wait()


@pytest.fixture
def own(durable_redis):
    """The lane of that Redis."""
    return Lane(client(durable_redis), durable_redis, "own")


# ---- Names, options and exit codes

@pytest.mark.parametrize("given", ["box", "w1@", "w1@%h", "%n@%h.%d", "%%h@100%", "w-%i%I@x"])
def test_nodenames_are_expanded_as_celery_does(launch, given):
    expected = host_format(default_nodename(given))
    shown = [line for line in launch(rust, "-n", given).banner() if line]
    assert shown[0].split(" v")[0] == expected


@ANY_KIND
def test_an_unknown_letter_in_a_nodename_is_refused(launch, kind):
    command = launch(kind, "-n", "w1@%z")
    assert command.wait() in (1, 2) and "%z" in command.logged()


@pytest.mark.parametrize("wrong", [
    ["--no-such-option"], ["-l", "LOUD"], ["-O", "unfair"], ["-c", "many"],
], ids=" ".join)
def test_wrong_options_end_both_with_the_same_code(launch, wrong):
    theirs, ours = (launch(kind, *wrong).wait() for kind in BOTH)
    assert theirs == ours == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signals_end_both_with_the_same_code(launch, number):
    workers = [launch(kind, "-n", kind.__name__, "-l", "INFO").until_ready() for kind in BOTH]
    theirs, ours = (worker.end(number) for worker in workers)
    assert theirs == ours == (number == signal.SIGINT)
    assert "worker: Warm shutdown (MainProcess)" in workers[0].printed()
    assert "worker: Warm shutdown (MainProcess)" in workers[1].logged()


@pytest.mark.parametrize("options, advice", [
    (["-B"], "run a beat"), (["--beat"], "run a beat"), (["-D"], "systemd"),
    (["--detach"], "systemd"), (["-I", "module"], "Worker::task"),
    (["--", "worker.prefetch_multiplier=2"], "CELERY_WORKER_"),
], ids=str)
def test_what_a_rust_worker_does_not_do_is_refused_with_advice(launch, options, advice):
    command = launch(rust, *options)
    assert command.wait() == 2 and advice in command.logged()


@ANY_KIND
def test_children_run_as_often_and_as_long_as_options_say(launch, own, kind):
    worker = launch(kind, "-Q", own.queue, "-P", "prefork", "-c", 1, "-l", "INFO",
                    "--max-tasks-per-child", 2, "--time-limit", 0.5)
    worker.until_ready()
    first, again, second, third = (own.call("processes.pid") for _ in range(4))
    assert first == again != second == third and worker.pid not in (first, second)
    with pytest.raises(TimeLimitExceeded):
        own.call("sleeping", 60)


def test_a_child_that_grows_beyond_the_option_is_replaced(launch, own):
    launch(rust, "-Q", own.queue, "-P", "prefork", "-c", 1, "-l", "INFO",
           "--max-memory-per-child", 1).until_ready()
    assert own.call("processes.pid") != own.call("processes.pid")


@ANY_KIND
def test_a_pidfile_keeps_a_second_worker_out(launch, tmp_path, kind):
    options = ["-n", "w1@box", "--pidfile", "%n-%h-%i.pid", "-l", "INFO"]
    path = tmp_path / node_format("%n-%h-%i.pid", "w1@box")
    path.write_text("999999999\n")
    first = launch(kind, *options).until_ready()
    assert path.read_text() == f"{first.pid}\n"
    second = launch(kind, *options)
    assert second.wait() == 73
    said = second.logged()
    assert "ERROR: " in said and path.name in said and str(first.pid) in said
    assert first.end(signal.SIGTERM) == 0
    assert not path.exists()


@ANY_KIND
def test_the_log_goes_to_a_file_of_the_nodes_name(launch, tmp_path, kind):
    command = launch(kind, "-n", "w1@box", "-f", "%n.log", "-l", "INFO")
    path = tmp_path / "w1.log"
    until(lambda: path.exists() and "w1@box ready." in path.read_text(), "it is ready", 20)
    assert command.logged() == ""


@ANY_KIND
def test_excluded_queues_are_not_consumed(launch, own, kind):
    launch(kind, "-Q", "own,other", "-X", "other,unknown", "-l", "INFO", "-n", "w1@box").until_ready()
    until_listening(own.app, "w1@box")
    queues = own.app.control.inspect(timeout=2).active_queues()["w1@box"]
    assert [queue["name"] for queue in queues] == ["own"]


@ANY_KIND
def test_purge_deletes_what_waits(launch, own, kind):
    for priority in (0, 3, 9):
        own.apply("identity", ["old"], priority=priority)
    worker = launch(kind, "-Q", "own", "--purge", "-l", "INFO").until_ready()
    assert "purge: Erased 3 messages from the queue.\n" in worker.printed()
    assert own.call("identity", "new") == "new"
    assert worker.logged().count("received") == 1
    assert own.waiting() == own.held() == 0


@ANY_KIND
def test_options_reach_the_worker(launch, own, kind):
    launch(kind, "-c", 3, "--time-limit", "30", "--soft-time-limit=20.5", "-E", "-O", "fair",
           "--prefetch-multiplier", 2, "--without-gossip", "--without-mingle",
           "--without-heartbeat", "-l", "info", "-n", "w1@box").until_ready()
    stats = until(lambda: own.app.control.inspect(timeout=2).stats(), "it answers")["w1@box"]
    assert stats["pool"]["timeouts"] == [20.5, 30]
    assert stats["pool"]["max-concurrency"] == 3 and stats["prefetch_count"] == 6


def inspected(own, worker, what):
    """An answer of the only worker."""
    answer = until(lambda: getattr(own.app.control.inspect(timeout=2), what)(), "it answers")
    return answer["w1@box"]


#: Click's variables of options that are no settings.
VARIABLES = {
    "CELERY_WORKER_HOSTNAME": "w1@box", "CELERY_WORKER_QUEUES": "own,own,other",
    "CELERY_WORKER_EXCLUDE_QUEUES": "other", "CELERY_WORKER_LOGLEVEL": "INFO",
    "CELERY_WORKER_PIDFILE": "%n.pid", "CELERY_WORKER_LOGFILE": "%n.log",
    "CELERY_WORKER_AUTOSCALE": "3", "CELERY_WORKER_TIME_LIMIT": "30",
    "CELERY_WORKER_SOFT_TIME_LIMIT": "20.5", "CELERY_WORKER_TASK_EVENTS": "1",
    "CELERY_WORKER_WITHOUT_MINGLE": "yes", "CELERY_WORKER_PURGE": "true",
}


def test_options_come_from_the_environment_as_with_celery(launch, own, tmp_path):
    seen = []
    for kind in BOTH:
        own.send("identity", "old")
        worker = launch(kind, **VARIABLES)
        log = tmp_path / "w1.log"
        until(lambda: log.exists() and "w1@box ready." in log.read_text(), "it is ready", 20)
        stats = inspected(own, worker, "stats")
        assert (tmp_path / "w1.pid").read_text() == f"{worker.pid}\n"
        bounds = {name: stats["autoscaler"][name] for name in ("max", "min")}
        queues = [queue["name"] for queue in inspected(own, worker, "active_queues")]
        events = own.app.control.broadcast("enable_events", reply=True, timeout=2)
        seen.append((stats["pool"]["timeouts"], bounds, queues, events, own.waiting(),
                     "purge: Erased 1 message " in worker.printed(), "mingle" in log.read_text()))
        worker.end(signal.SIGTERM)
        log.unlink()
    assert seen[1] == seen[0]
    assert seen[1][:3] == ([20.5, 30], {"max": 3, "min": 0}, ["own"])
    assert seen[1][4:] == (0, True, False)


@ANY_KIND
def test_an_option_goes_before_its_variable_and_the_last_one_holds(launch, own, kind):
    environment = {**VARIABLES, "CELERY_WORKER_LOGFILE": "", "CELERY_WORKER_AUTOSCALE": ""}
    options = ["-Q", "first", "-Q", "second,own", "-X", "second", "-c", "2", "-c", "3"]
    worker = launch(kind, *options, **environment).until_ready()
    assert [queue["name"] for queue in inspected(own, worker, "active_queues")] == ["own"]
    assert inspected(own, worker, "stats")["pool"]["max-concurrency"] == 3


@ANY_KIND
def test_a_wrong_variable_is_a_wrong_option(launch, kind):
    assert launch(kind, CELERY_WORKER_AUTOSCALE="x").wait() == 2
    assert launch(kind, CELERY_WORKER_PURGE="perhaps").wait() == 2


@ANY_KIND
def test_heartbeats_come_as_often_as_is_asked(launch, own, kind):
    with monitoring(own.app) as monitor:
        launch(kind, "-n", "w1@box", "--heartbeat-interval", 1, "-l", "INFO").until_ready()
        until(lambda: len(monitor.of_worker("w1@box", "worker-heartbeat")) > 1, "two of them")
        online, *_ = monitor.of_worker("w1@box", "worker-online")
    assert online["freq"] == 1.0


@ANY_KIND
def test_without_prefetch_messages_wait_in_their_queue(launch, own, kind):
    worker = launch(kind, "-Q", "own", "-n", "w1@box", "-c", "1", "--disable-prefetch", "-l", "INFO")
    worker.until_ready()
    running = own.send("delayed_sum", [1, 2], 3)
    until(lambda: own.waiting() == 0, "it runs")
    others = [own.send("identity", n) for n in range(3)]
    inspected(own, worker, "ping")
    assert own.waiting() == 3 and not running.ready()
    assert [result.get(timeout=10) for result in others] == [0, 1, 2]


# ---- What it prints and logs

@pytest.mark.parametrize("pool", [["-c", "2"], ["--autoscale", "2,5"]], ids=" ".join)
def test_the_banner_is_celerys(launch, durable_redis, pool):
    durable_redis.client.config_set("requirepass", "s3cret")
    durable_redis.client.auth("s3cret")
    url = f"redis://:s3cret@127.0.0.1:{durable_redis.port}/0"
    options = ["-n", "w1@box", "-Q", "b,a,c", "-X", "c", "-E", "-l", "INFO", *pool]
    addresses = {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
    workers = [launch(kind, *options, **addresses).until_ready() for kind in BOTH]
    theirs, ours = (worker.banner() for worker in workers)

    def configured(banner):
        """From [config] to [tasks], without what each has of its own."""
        lines = [line for line in banner if line and not line.startswith(".> app:")]
        lines = lines[lines.index("[config]"):lines.index("[tasks]")]
        return [re.sub(r"(concurrency: .*) \(\w+\)", r"\1 (<pool>)", line) for line in lines]

    assert configured(ours) == configured(theirs)
    assert any("redis://:**@" in line for line in ours) and "s3cret" not in "".join(ours)

    printed = [set(worker.printed().splitlines()) for worker in workers]
    their_tasks = {line for line in printed[0] if line.startswith("  . ")}
    assert len(their_tasks) > 10 and their_tasks <= printed[1]
    assert ours[[bool(line) for line in ours].index(True)].startswith("w1@box v")


def comparable(line):
    """A log line with what is each worker's own replaced by its shape."""
    line = re.sub(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: (\w+)/\w+(-\d+)?\] ", r"[\1] ", line)
    line = re.sub(r"succeeded in [0-9.e-]+s", "succeeded in <n>s", line)
    return UUID.sub("<id>", line.replace(":**@", ""))


def entries(text):
    """The first lines of what was logged."""
    return [line for line in text.splitlines() if line.startswith("[")]


def test_it_starts_with_celerys_words(launch, durable_redis):
    logs = []
    for kind in BOTH:
        worker = launch(kind, "-n", "w1@box", "-l", "INFO").until_ready()
        logs.append([comparable(line) for line in entries(worker.logged())])
        worker.end(signal.SIGTERM)
        durable_redis.client.flushall()
    assert logs[1] == logs[0]
    assert logs[1][-1] == "[INFO] w1@box ready."


#: What becomes of a task, and how it is sent.
FATES = {
    "success": ("add", [1, 2], {}),
    "a text": ("identity", ["é"], {}),
    "failure": ("raise_error", [], {}),
    "arguments": ("fail", ["a", 1], {}),
    "wrong arguments": ("add", [1], {}),
    "retry": ("retry_once", [], {}),
    "expired": ("identity", [1], {"expires": -1}),
    "soft limit": ("sleeping", [5], {"soft_time_limit": 0.2}),
    "replaced": ("replace_with_chain", [1], {}),
    "eta": ("identity", [1], {"countdown": 0.2}),
    "shadow": ("identity", [1], {"shadow": "another.name"}),
}


def test_tasks_are_logged_in_celerys_words(launch, own):
    logs = []
    for kind in BOTH:
        worker = launch(kind, "-Q", "own,celery", "-c", "1", "-l", "INFO").until_ready()
        ids = {fate: own.apply(name, args, **options).id
               for fate, (name, args, options) in FATES.items()}

        def of_task(fate):
            lines = [line for line in entries(worker.logged()) if ids[fate] in line]
            return [comparable(line) for line in lines]

        # What replaces a task has its id.
        ends = r"succeeded|raised|Discarding"
        for fate in FATES:
            until(lambda: re.search(ends, str(of_task(fate))), f"{fate} ends")
        logs.append({fate: of_task(fate) for fate in FATES})
        worker.end(signal.SIGKILL)
    for fate in FATES:
        # In Python a retry's message may be received before the retry is logged.
        assert sorted(logs[1][fate]) == sorted(logs[0][fate]), fate
    assert logs[1]["failure"][-1] == (
        "[ERROR] Task t.integration.tasks.raise_error[<id>] "
        "raised unexpected: ValueError('deliberate error')")


#: Commands whose effects are logged, or why they have none.
STEERING = [
    ("time_limit", {"task_name": full_name("add"), "soft": 10, "hard": 20.5}),
    ("time_limit", {"task_name": full_name("add")}),
    ("time_limit", {"task_name": "unknown"}),
    ("rate_limit", {"task_name": full_name("add"), "rate_limit": "10/m"}),
    ("rate_limit", {"task_name": full_name("add"), "rate_limit": "0"}),
    ("rate_limit", {"task_name": full_name("add"), "rate_limit": 0}),
    ("rate_limit", {"task_name": "unknown", "rate_limit": 1}),
    ("rate_limit", {"task_name": full_name("add"), "rate_limit": "1/y"}),
    ("no_such_command", {}),
]


def test_commands_are_logged_in_celerys_words(launch, own):
    logs = []
    for kind in BOTH:
        worker = launch(kind, "-n", "w1@box", "-l", "INFO").until_ready()
        until_listening(own.app, "w1@box")
        before = len(entries(worker.logged()))
        answers = [own.app.control.broadcast(command, arguments=arguments, reply=True,
                                             destination=["w1@box"], timeout=5, limit=1)
                   for command, arguments in STEERING]
        logs.append((answers, [comparable(line) for line in entries(worker.logged())[before:]]))
        worker.end(signal.SIGTERM)
    assert logs[1] == logs[0]
    assert len(logs[1][1]) == len(STEERING)


def test_a_failed_chord_is_logged_in_celerys_words(launch, own):
    logs = []
    for kind in BOTH:
        worker = launch(kind, "-Q", "own", "-n", "w1@box", "-l", "INFO").until_ready()
        task = lambda name, *args: own.app.signature(full_name(name), args, queue="own")
        chord([task("raise_error"), task("add", 1, 1)], task("tsum"), app=own.app).delay()
        failed = lambda: [line for line in entries(worker.logged()) if "Chord " in line]
        logs.append([comparable(line) for line in until(failed, "it fails")])
        worker.end(signal.SIGTERM)
    assert logs[1] == logs[0]


def test_logs_can_be_json(launch, own):
    worker = launch(rust, "-Q", "own", CELERIAC_LOG_FORMAT="json")
    assert own.call("add", 1, 2) == 3
    worker.end(signal.SIGTERM)
    lines = [json.loads(line) for line in worker.logged().splitlines()]
    assert any("succeeded in" in line["message"] for line in lines)
    assert worker.printed() == ""


# ---- What survives a restart

@ANY_KIND
def test_revokes_survive_a_restart(launch, own, kind):
    options = ["-Q", "own", "-n", "w1@box", "--statedb", "%n.state", "-l", "INFO", "--without-mingle"]
    id = uuid()
    worker = launch(kind, *options).until_ready()
    # `revoke` stores REVOKED as well; what counts is that it does not run.
    revoked = lambda: (own.app.control.inspect(timeout=2).revoked() or {}).get("w1@box")
    until_listening(own.app, "w1@box")
    own.app.control.revoke(id)
    until(lambda: id in (revoked() or []), "it knows")
    assert worker.end(signal.SIGTERM) == 0
    worker = launch(kind, *options).until_ready()
    own.apply("redis_echo", ["ran"], task_id=id)
    until(lambda: f"Discarding revoked task: {full_name('redis_echo')}[{id}]" in worker.logged(),
          "it is discarded")
    assert own.app.AsyncResult(id).state == "REVOKED"
    assert not own.redis.client.exists("redis-echo")
    assert id in revoked()


def test_revokes_and_the_clock_survive_a_kill(launch, own):
    options = ["-n", "w1@box", "--statedb", "w1.state"]
    worker = launch(rust, *options).until_ready()
    inspect = lambda: own.app.control.inspect(["w1@box"], timeout=2)
    own.app.control.revoke("one", reply=True, timeout=2)
    saved = worker.out.with_name("w1.state")
    until(lambda: "one" in saved.read_text(), "it is written")
    clock = json.loads(saved.read_text())["clock"]
    worker.end(signal.SIGKILL)
    launch(rust, *options, "--without-mingle").until_ready()
    assert inspect().revoked()["w1@box"] == ["one"]
    assert inspect().clock()["w1@box"]["clock"] > clock > 0


# ---- For orchestrators and Prometheus

def get(port, path):
    """The status and the body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return None, ""


def metrics(port):
    """Every sample by its name and labels, as Prometheus's own parser reads them."""
    # It comes with Flower, which is not beside every Celery that the tests run with.
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    _, text = get(port, "/metrics")
    return {(sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples}


def test_metrics_count_what_python_sends(launch, own):
    port = free_port()
    launch(rust, "-Q", "own", "-c", "3", "--http", f"127.0.0.1:{port}").until_ready()
    for n in range(5):
        assert own.call("add", n, 1) == n + 1
    own.send("raise_error").get(propagate=False, timeout=10)
    own.call("retry_once")
    own.send("made.up.by.a.client").get(propagate=False, timeout=10)
    own.apply("add", [1, 1], countdown=60)
    own.send("sleeping", 1)

    def count(task, state):
        return metrics(port)[("celeriac_tasks_total", *sorted([full_name(task), state]))]

    until(lambda: metrics(port)[("celeriac_held",)] == 1, "one is held")
    until(lambda: metrics(port)[("celeriac_slots_busy",)] == 1, "one runs")
    # A result is there before the message is settled, and counted then.
    until(lambda: count("sleeping", "succeeded") == 1, "it ends")
    assert (count("add", "succeeded"), count("add", "received")) == (5, 6)
    assert (count("raise_error", "started"), count("raise_error", "failed")) == (1, 1)
    assert (count("retry_once", "retried"), count("retry_once", "succeeded")) == (1, 1)
    now = metrics(port)
    sleeping = full_name("sleeping")
    assert now[("celeriac_task_runtime_seconds_count", sleeping)] == 1
    assert 1 <= now[("celeriac_task_runtime_seconds_sum", sleeping)] < 5
    assert now[("celeriac_task_queue_wait_seconds_count", full_name("add"))] == 5
    assert now[("celeriac_slots",)] == 3 and now[("celeriac_connected",)] == 1
    assert now[("celeriac_dead_letters_total",)] == 1
    until(lambda: metrics(port)[("celeriac_events_total",)] >= 2, "online, and a heartbeat")
    assert not any("made.up" in label for sample in now for label in sample)


def test_a_worker_without_its_broker_is_alive_and_not_ready(launch, own, durable_redis):
    port = free_port()
    launch(rust, "-Q", "own", "--http", f"127.0.0.1:{port}", "-n", "w1@box").until_ready()
    assert get(port, "/health") == (200, '{"status":"ok","worker":"w1@box"}')
    assert get(port, "/health/ready")[0] == get(port, "/health/live")[0] == 200
    durable_redis.kill()
    until(lambda: get(port, "/health/ready")[0] == 503, "it is not ready")
    assert json.loads(get(port, "/health")[1])["detail"] == "the broker is away"
    assert get(port, "/health/live")[0] == 200
    assert metrics(port)[("celeriac_connected",)] == 0
    durable_redis.start()
    until(lambda: get(port, "/health/ready")[0] == 200, "it is ready again", 40)
    assert own.call("add", 1, 2) == 3
    until(lambda: metrics(port)[("celeriac_reconnects_total",)] >= 1, "it is counted")


def test_a_worker_that_starts_without_its_broker_waits_for_it(launch, own, durable_redis):
    port = free_port()
    durable_redis.kill()
    worker = launch(rust, "-Q", "own", "--http", f"127.0.0.1:{port}")
    until(lambda: "consumer: Cannot connect to" in worker.logged(), "it says so")
    assert get(port, "/health/live")[0] == 200 and get(port, "/health/ready")[0] == 503
    assert "ready." not in worker.logged()
    durable_redis.start()
    worker.until_ready()
    assert own.call("add", 1, 2) == 3 and get(port, "/health/ready")[0] == 200


def test_a_worker_that_shuts_down_is_not_ready(launch, own):
    port = free_port()
    worker = launch(rust, "-Q", "own", "--http", f"127.0.0.1:{port}").until_ready()
    result = own.send("delayed_sum", [1, 2], 2)
    until(lambda: metrics(port)[("celeriac_slots_busy",)] == 1, "it runs")
    worker.child.send_signal(signal.SIGTERM)
    until(lambda: get(port, "/health/ready")[0] == 503, "it is not ready")
    assert json.loads(get(port, "/health")[1])["detail"] == "the worker shuts down"
    assert get(port, "/health/live")[0] == 200
    assert worker.wait() == 0 and result.get(timeout=5) == 3


def test_an_address_that_is_taken_ends_the_program(launch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        worker = launch(rust, "--http", address)
        assert worker.wait() == 1 and f"cannot listen on {address}" in worker.logged()
