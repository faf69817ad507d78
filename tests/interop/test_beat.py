"""The beat program: what Python receives of it, what it remembers, and who leads."""

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from celery import Celery, uuid
from celery.schedules import schedule as interval

from support.beats import Beats
from support.waiting import until
from support.workers import python_worker

RECORD = "interop.record"


@pytest.fixture
def beats(redis, tmp_path):
    """Beats that share a schedule of their own and end with the test."""
    beats = Beats(redis, tmp_path, prefix=f"{uuid()[:8]}.")
    yield beats
    beats.stop()


def received(app, beats, queue, count, timeout=15):
    """The next messages of a queue, as kombu reads them."""
    app = beats.client(app)
    with app.connection_for_read() as connection:
        simple = connection.SimpleQueue(queue, accept=["json", "msgpack"])
        return [simple.get(timeout=timeout) for _ in range(count)]


def marks(redis, key):
    return redis.client.lrange(key, 0, -1)


def test_an_entry_is_called_with_its_arguments_and_options(app, beats):
    options = {"queue": "ticks", "expires": 60, "priority": 3, "countdown": 5, "shadow": "tock",
               "headers": {"tenant": "a"}, "time_limit": 30, "ignore_result": True,
               "serializer": "msgpack", "compression": "gzip",
               "link": [{"task": "t.after", "options": {"queue": "q"}}]}
    entry = {"task": "t.tick", "schedule": 0.5, "args": [2, 3], "kwargs": {"z": 1}, "options": options}
    beats.start({"tick": entry})
    message, _ = received(app, beats, "ticks", 2)
    headers = message.headers
    assert message.decode()[:2] == [[2, 3], {"z": 1}]
    assert message.decode()[2]["callbacks"][0]["task"] == "t.after"
    assert (headers["task"], headers["shadow"], headers["tenant"]) == ("t.tick", "tock", "a")
    assert headers["celery_beat_task"] is True and headers["ignore_result"] is True
    assert headers["timelimit"] == [30, None]
    eta, expires = (datetime.fromisoformat(headers[name]) for name in ("eta", "expires"))
    assert expires - eta == timedelta(seconds=55)
    assert (message.properties["priority"], message.content_type) == (3, "application/x-msgpack")


def test_a_python_worker_runs_what_a_crontab_and_a_command_send(beats, lane, start, redis):
    beats.prefix = ""
    beats.settings["beat_schedule_filename"] = "mine"
    beats.settings["beat_scheduler"] = "persistent"
    start(python_worker, lane)
    key = f"mark-{uuid()}"
    entry = {"task": RECORD, "schedule": "* * * * *", "args": ["cron", key],
             "options": {"queue": lane.queue}}
    added = {**entry, "args": ["now", key], "schedule": {"crontab": {"month_of_year": "feb"}}}
    overdue = datetime.now(timezone.utc) - timedelta(minutes=5)
    (beats.directory / "mine").write_text(json.dumps({"entries": {
        "minutely": {"last_run_at": overdue.isoformat(), "total_run_count": 7}}}))
    beat = beats.start({"minutely": entry, "yearly": added})
    until(lambda: "cron" in marks(redis, key), "the run that was missed is made up for")
    beats.command("run", "yearly")
    until(lambda: "now" in marks(redis, key), "a run by hand")
    assert beat.stop() == 0
    minutely = beats.listing()["minutely"]["history"]
    assert minutely["total_run_count"] == 8 + (marks(redis, key).count("cron") - 1)
    assert marks(redis, key).count("cron") <= 2


@pytest.mark.parametrize("scheduler", ["persistent", "shared"])
def test_a_restart_neither_forgets_nor_repeats_a_run(beats, scheduler):
    beats.settings["beat_scheduler"] = scheduler
    schedule = {"often": {"task": "t.often", "schedule": 1, "options": {"queue": "often"}},
                "rare": {"task": "t.rare", "schedule": 3600, "options": {"queue": "rare"}}}
    for _ in range(3):
        beat = beats.start(schedule)
        seen = beats.waiting("often")
        until(lambda: beats.waiting("often") > seen + 1, "beat runs")
        beat.kill()
        until(beats.nobody_leads, "the lease ends")
    # One that was killed while it sent is made good by the next.
    beat = beats.start(schedule)
    beat.wait_for_log("Leading")
    until(lambda: beats.waiting("often"), "it has begun")
    assert beat.stop() == 0
    listing = beats.listing()
    assert listing["often"]["history"]["total_run_count"] == beats.waiting("often")
    assert listing["rare"]["history"]["total_run_count"] == beats.waiting("rare") == 0
    first_seen = listing["rare"]["history"]["last_run_at"]
    # Another schedule keeps the history, an entry that is gone does not.
    beat = beats.start({"rare": {**schedule["rare"], "schedule": 1}})
    until(lambda: beats.waiting("rare"), "the shorter interval has passed")
    until(lambda: "often" not in beats.listing(), "what is gone is forgotten")
    assert beats.listing()["rare"]["history"]["last_run_at"] > first_seen
    beat.stop()
    beats.start(schedule)
    until(lambda: beats.listing()["often"]["history"], "it begins anew")
    assert beats.listing()["often"]["history"]["last_run_at"] > first_seen


def test_a_crontab_that_was_missed_for_too_long_is_not_made_up_for(beats):
    beats.settings["beat_cron_starting_deadline"] = 300  # of which a crontab's minute may take 61
    beats.settings["beat_scheduler"] = "persistent"
    crontab = {"task": "t.daily", "options": {"queue": "daily"}}
    now = datetime.now(timezone.utc)
    late, soon = now - timedelta(minutes=10), now - timedelta(seconds=1)
    entries = {name: {**crontab, "schedule": f"{at.minute} {at.hour} * * *", "args": [name]}
               for name, at in {"stale": late, "recent": soon}.items()}
    before = (now - timedelta(days=2)).isoformat()
    (beats.directory / "state").write_text(json.dumps({"entries": {
        name: {"last_run_at": before, "total_run_count": 1} for name in entries}}))
    beats.settings["beat_schedule_filename"] = "state"
    beats.start(entries)
    until(lambda: beats.waiting("daily"), "the recent one is sent")
    assert beats.waiting("daily") == 1
    assert beats.listing()["stale"]["history"]["total_run_count"] == 1


def test_one_beat_leads_and_another_takes_over_without_loss(beats, lane, start, redis, report):
    """Each run leaves a mark; what is killed is whoever leads."""
    start(python_worker, lane)
    key = f"mark-{uuid()}"
    beats.prefix = ""
    beats.reset()
    every = 0.5
    entry = {"task": RECORD, "schedule": every, "args": ["run", key], "options": {"queue": lane.queue}}
    schedule = {f"e{n}": entry for n in range(4)}
    running = [beats.start(schedule) for _ in range(2)]
    try:
        gaps = []
        for _ in range(3):
            seen = len(marks(redis, key))
            until(lambda: len(marks(redis, key)) > seen + 8, "the leader sends")
            leader = beats.leader(running)
            leader.kill()
            running.remove(leader)
            died, seen = time.monotonic(), sum(beats.counts().values())
            running.append(beats.start(schedule))
            until(lambda: sum(beats.counts().values()) > seen, "another has taken over", 10)
            gaps.append(time.monotonic() - died)
        report("a dead beat's successor sends after", f"{max(gaps):.1f} s at most")
    finally:
        for beat in running:
            beat.stop()
    runs = sum(beats.counts().values())
    until(lambda: len(marks(redis, key)) >= runs, "all that was sent has run")
    assert len(marks(redis, key)) == runs
    beats.reset()


def test_a_leader_that_slept_is_refused(beats):
    schedule = {"tick": {"task": "t.tick", "schedule": 0.2, "options": {"queue": "ticks"}}}
    first = beats.start(schedule)
    first.wait_for_log("Leading")
    second = beats.start(schedule)
    second.wait_for_log("Standing by")
    # It stops at any place, in the middle of a turn as well.
    first.signal(signal.SIGSTOP)
    second.wait_for_log("Leading")
    first.signal(signal.SIGCONT)
    first.wait_for_log("Standing by")
    assert second.stop() == 0
    until(lambda: first.log.read_text().count("Leading") == 2, "it leads again")
    assert first.stop() == 0
    assert beats.waiting("ticks") == beats.counts()["tick"] > 0


def test_a_broker_that_was_away_gets_each_run_once(durable_redis, tmp_path):
    beats = Beats(durable_redis, tmp_path, prefix="")
    beat = beats.start({"tick": {"task": "t.tick", "schedule": 0.1, "options": {"queue": "ticks"}}})
    for _ in range(3):
        seen = beats.waiting("ticks")
        until(lambda: beats.waiting("ticks") > seen + 5, "beat sends")
        durable_redis.kill()
        durable_redis.start()
    seen = beats.waiting("ticks")
    until(lambda: beats.waiting("ticks") > seen, "beat goes on")
    assert beat.stop() == 0
    assert beats.waiting("ticks") == beats.counts()["tick"]


@pytest.mark.parametrize("found", [
    "{",
    '{"last_run_at": "never", "total_run_count": 1}',
    '{"total_run_count": 1, "last_run_at": "2020-01-01T01:00:00.0+01:00"}',
])
def test_a_history_is_gone_on_from_however_it_is_written(beats, found):
    """One that nobody can read begins anew."""
    beats.redis.client.hset(f"{beats.prefix}celeriac.beat.histories", "tick", found)
    beats.start({"tick": {"task": "t.tick", "schedule": 0.2, "options": {"queue": "ticks"}}})
    until(lambda: beats.waiting("ticks"), "it is sent")


def test_entries_are_changed_while_beats_run(beats):
    beats.start({"fixed": {"task": "t.fixed", "schedule": 0.5, "options": {"queue": "fixed"}}})
    beats.command("add", "new", "t.new", "--every", "0.5", "--queue", "new", "--args", "[1]",
                  "--options", '{"priority": 6}')
    until(lambda: beats.waiting("new"), "what was added is sent")
    beats.command("pause", "new")
    beats.command("pause", "fixed")
    assert all(entry["paused"] for entry in beats.listing().values())
    until(lambda: beats.quiet("new") and beats.quiet("fixed"), "what is paused is not sent")
    beats.command("resume", "fixed")
    before = beats.waiting("fixed")
    until(lambda: beats.waiting("fixed") > before, "what is resumed is sent")
    beats.command("remove", "new")
    assert list(beats.listing()) == ["fixed"]
    assert "is in the configuration" in beats.command("remove", "fixed", fails=True)
    assert "no entry is called" in beats.command("run", "new", fails=True)


def test_a_relative_entry_runs_at_whole_hours_as_celerys(beats):
    beats.configure({"often": {"task": "t.often", "schedule": 3600, "relative": True}})

    def expected():
        now = datetime.now(timezone.utc)
        hourly = interval(3600, relative=True, app=Celery(set_as_current=False))
        # The clock has gone on since.
        run = now + hourly.remaining_estimate(now) + timedelta(milliseconds=500)
        return run.strftime("%F %T")

    before = expected()
    _, shown = beats.command("check", "-n", "1").splitlines()
    assert any(run in shown for run in (before, expected())), shown
    assert ":00:00 UTC" in shown


def test_what_was_skipped_is_not_made_up_for(beats):
    overdue = {"last_run_at": "2020-01-01T00:00:00Z", "total_run_count": 1}
    beats.redis.client.hset(f"{beats.prefix}celeriac.beat.histories", "yearly", json.dumps(overdue))
    yearly = {"task": "t.yearly", "schedule": "0 0 1 1 *", "options": {"queue": "yearly"}}
    often = {"task": "t.often", "schedule": 0.2, "options": {"queue": "often"}}
    beats.configure({"yearly": yearly})
    beats.command("pause", "yearly")
    beats.start({"yearly": yearly, "often": often})
    until(lambda: beats.listing()["yearly"]["history"]["last_run_at"] > "2021", "it is skipped")
    beats.command("resume", "yearly")
    beats.started[0].wait_for_log("has been changed")
    seen = beats.waiting("often")
    until(lambda: beats.waiting("often") > seen + 1, "beat goes on")
    assert beats.waiting("yearly") == 0
    assert beats.counts()["yearly"] == 1


def test_check_prints_the_next_runs(beats):
    beats.settings["timezone"] = "Europe/Paris"
    beats.configure({
        "half": {"task": "t.a", "schedule": {"crontab": {"minute": "*/30", "hour": "8-17"}}},
        "summer": {"task": "t.b", "schedule": "30 2 25-31 3 sun"},
        "sun": {"task": "t.c", "schedule": {"solar": {"event": "sunset", "lat": 48.85, "lon": 2.35}}}})
    output = beats.command("check", "-n", "3")
    half, summer, sun = (output.index(name) for name in ("half (", "summer (", "sun (sunset"))
    minutes = [line.split()[2][3:] for line in output[half:summer].splitlines()[1:]]
    assert len(minutes) == 3 and set(minutes) == {"00:00", "30:00"}
    # The clock skips 02:30; Celery's run is an hour later then.
    assert all("03:30:00 CEST" in line for line in output[summer:sun].splitlines()[1:])
    sunsets = [line.split()[1] for line in output[sun:].splitlines()[1:]]
    assert len(set(sunsets)) == len(sunsets) == 3, "one a day"


@pytest.mark.parametrize("schedule, reason", [
    ('{ crontab = { minute = "61" } }', "61 is out of range: write a number from 0 to 59"),
    ('{ crontab = { minutes = "1" } }', "unknown field `minutes`; did you mean `minute`?"),
    ('{ crontab = { day_of_month = 31, month_of_year = "feb" } }', "has a day of day_of_month 31"),
    ('"* * * *"', "a crontab has five fields"),
    ('{ solar = { event = "sunrise", lat = 91, lon = 0 } }', "write lat from -90 (south) to 90"),
    ('{ solar = { event = "sunrize", lat = 9, lon = 0 } }', "unknown variant `sunrize`"),
    ("0", "an interval must be more than 0 seconds"),
    ('1\noptions = { quue = "a" }', "`quue`"),
])
def test_what_is_no_schedule_names_its_line(beats, schedule, reason):
    beats.config.write_text(f'\n[beat_schedule.e]\ntask = "t"\nschedule = {schedule}\n')
    output = beats.command("check", fails=True)
    assert f"{beats.config.name}:{4 + schedule.count(chr(10))}: " in output
    assert reason in output


def test_hundreds_of_entries_are_sent_at_once(beats):
    schedule = {f"e{n}": {"task": "t.one", "schedule": "* * * * *", "options": {"queue": "many"}}
                for n in range(1200)}
    beats.settings["beat_scheduler"] = "persistent"
    beats.settings["beat_schedule_filename"] = "many.json"
    long_ago = datetime.now(timezone.utc) - timedelta(days=1)
    (beats.directory / "many.json").write_text(json.dumps({"entries": {
        name: {"last_run_at": long_ago.isoformat(), "total_run_count": 0} for name in schedule}}))
    beat = beats.start(schedule)
    until(lambda: beats.waiting("many") >= 1200, "all are sent")
    assert beat.stop() == 0
    counts = [entry["history"]["total_run_count"] for entry in beats.listing().values()]
    assert beats.waiting("many") == sum(counts)


def test_without_utc_the_zone_is_the_machines(beats, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    ask = "from celery import Celery; print(Celery(changes={'enable_utc': False}).timezone)"
    zone = subprocess.check_output([sys.executable, "-c", ask], text=True).strip()
    beats.settings["enable_utc"] = False
    beats.configure({"noon": {"task": "t", "schedule": "0 12 * * *"}})
    noon = datetime.now(ZoneInfo(zone)).replace(hour=12, minute=0, second=0)
    assert noon.strftime("12:00:00 %Z") in beats.command("check", "-n", "1")
    assert zone == "Asia/Kathmandu"


def test_a_pidfile_keeps_a_second_beat_out(beats):
    first = beats.start({}, "--pidfile", "beat.pid")
    path = beats.directory / "beat.pid"
    until(path.exists, "the pidfile is there")
    second = beats.start({}, "--pidfile", "beat.pid")
    assert second.wait() == 73 and f"that of process {first.pid}" in second.log.read_text()
    assert path.read_text().strip() == str(first.pid)
    first.kill()
    third = beats.start({}, "--pidfile", "beat.pid", "--loglevel", "WARNING", "--max-interval", "1")
    until(lambda: path.read_text().strip() == str(third.pid), "a dead beat's file is replaced")
    assert third.stop() == 0 and not path.exists()
    assert "Starting" not in third.log.read_text()
