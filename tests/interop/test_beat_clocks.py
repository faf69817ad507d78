"""Beats whose clocks are wrong, and entries that cannot be sent."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from celery import uuid

from support.beats import Beats
from support.clocks import needs_faketime, off_by
from support.waiting import until

AHEAD = timedelta(hours=1)


@pytest.fixture
def beats(redis, tmp_path):
    """Beats that share a schedule of their own and end with the test."""
    beats = Beats(redis, tmp_path, prefix=f"{uuid()[:8]}.")
    beats.settings["beat_schedule_filename"] = "state"
    yield beats
    beats.stop()


def often(queue, every=1):
    return {"task": "t.often", "schedule": every, "options": {"queue": queue}}


def remember(beats, histories):
    """What a beat has written before this one."""
    if beats.settings["beat_scheduler"] == "persistent":
        (beats.directory / "state").write_text(json.dumps({"entries": histories}))
    else:
        texts = {name: json.dumps(history) for name, history in histories.items()}
        beats.redis.client.hset(f"{beats.prefix}celeriac.beat.histories", mapping=texts)


@pytest.mark.parametrize("scheduler", ["persistent", "shared"])
def test_a_last_run_in_the_future_counts_as_now(beats, scheduler):
    beats.settings["beat_scheduler"] = scheduler
    ahead = f"{datetime.now(timezone.utc) + AHEAD:%FT%TZ}"
    remember(beats, {name: {"last_run_at": ahead, "total_run_count": 7} for name in ("one", "two")})
    beat = beats.start({"one": often("one"), "two": often("two", every=3600)})
    until(lambda: beats.waiting("one") >= 5, "it runs every second", 9)
    (warning,) = [line for line in beat.log.read_text().splitlines() if "counts as now" in line]
    assert "one, two" in warning and "WARN" in warning
    history = beats.listing()["two"]["history"]
    assert history["total_run_count"] == 7 and history["last_run_at"] < ahead
    assert beats.waiting("two") == 0


@needs_faketime
def test_a_leader_whose_clock_is_slow_goes_on_where_another_ended(beats):
    schedule = {"often": often("often", every=0.5)}
    before = beats.start(schedule)
    until(lambda: beats.waiting("often") >= 2, "the first leads")
    before.kill()
    slow = beats.start(schedule, environment=off_by(-1))
    slow.wait_for_log("Leading")
    sent = beats.waiting("often")
    until(lambda: beats.waiting("often") >= sent + 5, "the second goes on", 9)
    assert "counts as now" not in slow.log.read_text()
    last = datetime.fromisoformat(beats.listing()["often"]["history"]["last_run_at"])
    assert abs(datetime.now(timezone.utc) - last) < AHEAD / 2


@pytest.mark.parametrize("scheduler", ["persistent", "shared"])
def test_what_cannot_be_sent_keeps_back_nothing_else(beats, scheduler):
    beats.settings["beat_scheduler"] = scheduler
    beats.redis.client.set(f"{beats.prefix}spoilt", "no list")
    schedule = {name: often(name, every=0.5) for name in ("fine", "spoilt", "too")}
    beat = beats.start(schedule)
    until(lambda: beats.waiting("fine") >= 4 and beats.waiting("too") >= 4, "the others are sent")
    lines = beat.log.read_text().splitlines()
    errors = [line for line in lines if "this run is skipped" in line]
    assert errors and all("ERROR" in line and "WRONGTYPE" in line for line in errors)
    # Each run is tried once.
    beats.redis.client.delete(f"{beats.prefix}spoilt")
    until(lambda: beats.waiting("spoilt") >= 2, "it is sent as soon as it can be")
    assert beat.stop() == 0
    counts = {name: entry["history"]["total_run_count"] for name, entry in beats.listing().items()}
    assert counts["fine"] == beats.waiting("fine") and counts["too"] == beats.waiting("too")
    assert counts["spoilt"] > beats.waiting("spoilt")


def test_a_schedule_that_nobody_can_read_ends_beat(beats):
    beats.redis.client.set(f"{beats.prefix}celeriac.beat.histories", "no table")
    beat = beats.start({"often": often("often")})
    assert beat.wait() == 1
    assert "WRONGTYPE" in beat.log.read_text()
