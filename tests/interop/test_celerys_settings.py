"""Every setting of Celery's is accepted or refused as docs/configuration.md says, in the file
and in the environment. Celery's own list is walked, so that what a release adds is seen."""

import datetime
import json
import re
import subprocess
import tomllib
from collections import Counter

import pytest
from celery.app.defaults import _TO_NEW_KEY, DEFAULTS

from support.process import Process
from support.workers import TESTS, environment, example, inline, interop_worker

KNOWN = tomllib.loads((TESTS.parent / "celeriac/src/config/known.toml").read_text())
DOCS = (TESTS.parent / "docs/configuration.md").read_text()

#: Of those that are not merely honoured: the word of the documents, by name.
VERDICTS = {
    name: "refused" if "refused" in group else "accepted"
    for group in KNOWN["settings"] for name in group["names"]
}


def ask(*configurations):
    """The answer to each, all from one process."""
    asked = "".join(json.dumps(each) + "\n" for each in configurations)
    run = subprocess.run([example("check_settings")], input=asked, capture_output=True, text=True,
                         timeout=60, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def plain(value):
    """As TOML and JSON have it."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return list(value) if isinstance(value, tuple) else value


def in_file(name, value):
    value = plain(value)
    return {"file": f"{name} = {'inf' if value == float('inf') else inline(value)}\n"}


def in_environment(name, value, write=str):
    return {"environment": {"CELERY_" + name.upper(): write(plain(value))}}


def answers(ways):
    """{name: answer} of {name: configuration}."""
    return dict(zip(ways, ask(*ways.values())))


def differing(answered, right):
    return {name: answer for name, answer in answered.items() if not right(name, answer)}


@pytest.mark.parametrize("way", [in_file, in_environment])
def test_celerys_defaults_are_accepted_in_silence(way):
    given = {name: way(name, value) for name, value in DEFAULTS.items()
             if value is not None or way is in_environment}
    assert not differing(answers(given), lambda _, answer: answer == {"warnings": []})


#: Something else than the default, for those that are not honoured.
OTHER = {bool: lambda value: not value, int: lambda value: value + 7, float: lambda value: value + 7,
         str: lambda value: value + "x", tuple: lambda value: ["proj.tasks"],
         dict: lambda value: {"x": 1}, type(None): lambda value: "x"}


@pytest.mark.parametrize("way", [in_file, in_environment])
def test_what_is_not_honoured_is_warned_of_or_refused(way):
    given = {name: way(name, OTHER[type(DEFAULTS.get(name))](DEFAULTS.get(name)))
             for name in VERDICTS}

    def right(name, answer):
        if VERDICTS[name] == "refused":
            return f"`{name}` cannot be had here: " in answer.get("error", "")
        warnings = answer.get("warnings", [])
        return len(warnings) == 1 and f"`{name}` means nothing here: " in warnings[0]

    assert not differing(answers(given), right)


@pytest.mark.parametrize("table", sorted(KNOWN.keys() - {"settings", "old"}))
def test_options_that_are_not_honoured(table):
    verdicts = {name: group for group in KNOWN[table] for name in group["names"]}
    given = {name: in_file(table, {name: "x"}) for name in verdicts}
    said = {"refused": "error", "idle": "warnings"}

    def right(name, answer):
        kind = next(kind for kind in said if kind in verdicts[name])
        return f"`{table}.{name}`" in str(answer.get(said[kind]))

    assert not differing(answers(given), right)


def test_old_names_are_told_their_new_ones():
    new_names = {old: new for old, new in _TO_NEW_KEY.items() if old.lower() != new}
    given = {old: {"file": f"{old} = 'x'\n"} for old in new_names}
    told = answers(given)
    assert not differing(told, lambda old, answer: f"`{new_names[old]}`" in answer.get("error", ""))


def test_the_documents_name_every_setting():
    honoured = "\n".join(line.split("|")[1] for line in DOCS.splitlines() if line.startswith("| `"))
    missing = {name for name in DEFAULTS.keys() - VERDICTS.keys() if f"`{name}`" not in honoured}
    assert not missing


def row(table, group):
    names = ", ".join(f"`{name}`" for name in group["names"])
    verdict, why = next((word, group[kind]) for kind, word in
                        (("refused", "refused"), ("idle", "accepted")) if kind in group)
    return f"| {names} | {verdict} | {why} |"


@pytest.mark.parametrize("table", sorted(KNOWN.keys() - {"old"}))
def test_the_documents_say_why(table):
    missing = [row(table, group) for group in KNOWN[table] if row(table, group) not in DOCS]
    assert not missing, "\n".join(missing)


TEXTS = {
    "worker_prefetch_multiplier": ["", "8", '"8"', "'8'", " 8 "],
    "task_acks_late": ["", "True", "TRUE", "yes", "1", "on", "false", "No", "0", '"off"'],
    "broker_url": ["", '""'],
    "result_backend": ["", "None", "disabled", "redis", "redis://127.0.0.1:6379/1"],
    "timezone": ["", "Europe/Berlin", '"Europe/Berlin"'],
    "task_default_queue": ["", "celery", "123", '"celery"'],
    "beat_schedule_filename": ["", "/var/lib/beat"],
    "broker_transport_options": ["", '{"visibility_timeout": 3600}', "{'visibility_timeout': 3600}",
                                 "{ visibility_timeout = 3600 }", "{}"],
    "task_routes": ['{"a.*": {"queue": "a"}}', "{'a.*': {'queue': 'a'},}", '{ "a.*" = "a" }'],
    "accept_content": ["json", "json,msgpack", "['json']", '["json", "yaml"]', "('json',)",
                       "{'json'}"],
    "task_queues": ["a,b", '["a"]'],
    "result_expires": ["None", "3600", "3600.0", '"3600"'],
    "task_time_limit": ["None", "30"],
    "worker_concurrency": ["auto", "4", '"4"', "0"],
    "beat_scheduler": ["celery.beat:PersistentScheduler", "celery.beat.PersistentScheduler"],
    "worker_pool": ["prefork", "celery.concurrency.prefork:TaskPool", "threads"],
    "task_publish_retry_policy": ['{"max_retries": null}', "{'max_retries': None}"],
    "redis_socket_keepalive": ["", "False"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_variable_is_read_as_people_write_it(name):
    given = {text: in_environment(name, text) for text in TEXTS[name]}
    assert not differing(answers(given), lambda _, answer: answer == {"warnings": []})


REFUSED = {
    "task_time_limit": ("30 * 60", "expected a number, found a text"),
    "beat_scheduler": ("django_celery_beat.schedulers:DatabaseScheduler", "`shared` (the broker)"),
    "result_backend": ("django-db", "Celeriac keeps results in Redis"),
    "broker_url": ("amqp://me:s3cret@there", "the broker must be a Redis"),
    "worker_pool": ("custom", "`threads` or `prefork`"),
    "broker_transport_options": ('{"visibilty_timeout": 1}', "did you mean `visibility_timeout`?"),
    "broker_read_url": ("redis://elsewhere", "`broker_url`"),
    "task_publish_retry_policy": ("{'retries': 1}", "unknown field `retries`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_text_is_refused_in_words_without_its_value(name):
    text, said = REFUSED[name]
    [answer] = ask(in_environment(name, text))
    assert answer["error"].startswith(f"environment variable CELERY_{name.upper()}: ")
    assert said in answer["error"] and "s3cret" not in answer["error"]


def test_other_programs_variables_are_left_alone():
    others = {"CELERY_APP": "proj", "CELERY_BIN": "/usr/bin/celery", "CELERY_WORKER_STATEDB": "x",
              "CELERY_LOADER": "default", "CELERY_TRACE_APP": "1", "CELERY_RDB_PORT": "6900",
              "C_FORCE_ROOT": "1", "CELERYD_OPTS": "-c 2", "CELERYBEAT_OPTS": "-S x"}
    near = {"CELERY_TASK_ACK_LATE": "1"}
    read = {"CELERY_CONFIG_MODULE": "celeryconfig"}
    silent, typo, module, twice = ask(*(
        {"environment": each} for each in (others, near, read, {"BROKER_URL": "redis://x"})))
    assert silent == {"warnings": []}
    assert "did you mean CELERY_TASK_ACKS_LATE?" in typo["warnings"][0]
    assert "CELERY_CONFIG_MODULE" in module["warnings"][0]
    assert "did you mean CELERY_BROKER_URL?" in twice["warnings"][0]


def test_a_worker_warns_once_and_its_children_do_not(redis, tmp_path):
    (tmp_path / "c.toml").write_text(
        "worker_pool = 'prefork'\nbroker_heartbeat = 10\nworker_timer_precision = 0.1\n")
    argv = [interop_worker(), "--config", "c.toml", "-c", "2", "-n", "warned@test"]
    worker = Process("warned", argv, tmp_path, environment(redis, redis))
    try:
        worker.wait_for_log("ready")
    finally:
        worker.stop()
    log = worker.log.read_text()
    warned = Counter(re.findall(r"`(\w+)` means nothing here", log))
    assert warned == {"broker_heartbeat": 1, "worker_timer_precision": 1}
