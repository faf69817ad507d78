"""Times of scheduled tasks, as inspect and events show them: by Python's rules."""

from datetime import datetime, timedelta, timezone

import pytest
from celery import uuid

from support.lane import Lane
from support.monitor import monitoring
from support.waiting import until
from support.workers import python_worker, rust_worker, until_listening

LATER = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=2)
FORMS = {
    "in no zone": LATER.replace(tzinfo=None).isoformat(),
    "in UTC": LATER.isoformat(),
    "elsewhere": LATER.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
    "to the microsecond": (LATER + timedelta(microseconds=5)).isoformat(),
}


@pytest.mark.parametrize("settings", [{}, {"timezone": "Asia/Tokyo"}], ids=["UTC", "Tokyo"])
def test_shown_as_by_python(app, redis, start, settings):
    shown, told = [], []
    with monitoring(app) as monitor:
        for kind in (python_worker, rust_worker):
            lane = Lane(app, redis, f"times-{uuid()[:8]}")
            worker = start(kind, lane, settings={**settings, "worker_send_task_events": True})
            node = f"{worker.name}@test"
            until_listening(app, node)
            ids = [lane.apply("identity", [name], eta=eta).id for name, eta in FORMS.items()]
            inspect = app.control.inspect([node], timeout=5)
            entries = until(lambda: all_of(inspect.scheduled()[node], len(FORMS)), "they wait")
            shown.append({entry["request"]["args"][0]: entry["eta"] for entry in entries})
            # Events know no zone of the worker's.
            told.append([until(lambda: received(monitor, id), "it is told") for id in ids[1:]])
    assert shown[0] == shown[1]
    assert told[0] == told[1]


def all_of(entries, count):
    return entries if len(entries) == count else None


def received(monitor, id):
    events = [e for e in monitor.of_task(id) if e["type"] == "task-received"]
    return events and events[0]["eta"]
