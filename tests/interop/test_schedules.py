"""When schedules are due, asked of Celery and of Celeriac, for thousands of them made up at random."""

import json
import random
import subprocess
from datetime import datetime, timedelta, timezone
from functools import cache

import pytest
from celery import Celery
from celery.schedules import ParseException, crontab, schedule, solar
from celery.utils.time import timezone as zones

from support.workers import example

UTC = timezone.utc
#: Half an hour's daylight saving, a date that never was, a day without a
#: midnight, offsets in quarters of an hour, and a zone that left its own.
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
         "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Casablanca", "America/St_Johns",
         "Pacific/Chatham", "Asia/Tehran", "America/Caracas"]
DAYS = ["sun", "Mon", "TUE", "wed", "thursday", "Fri", "Saturday"]
MONTHS = ["jan", "February", "MAR", "apr", "may", "june", "jul", "Aug", "sep", "oct", "nov", "dec"]
FIELDS = {"minute": (0, 59), "hour": (0, 23), "day_of_month": (1, 31), "month_of_year": (1, 12),
          "day_of_week": (0, 6)}
EVENTS = sorted(solar._all_events)
#: How much the two may differ over the sun.
SOLAR_SECONDS = 2


@cache
def app(zone, deadline=None):
    return Celery(set_as_current=False, changes={"timezone": zone,
                                                 "beat_cron_starting_deadline": deadline})


def ask(questions):
    """What Celeriac answers: `[due, microseconds]` or why not."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([example("due")], input=lines, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask_celery(make, question):
    """The same of `make(app=…, nowfun=…)`, a schedule of Celery's."""
    zone = zones.get_timezone(question["timezone"])
    now, last = (datetime.fromisoformat(question[name]).astimezone(zone)
                 for name in ("now", "last_run_at"))
    try:
        entry = make(app=app(question["timezone"], question.get("deadline")), nowfun=lambda: now)
        due, seconds = entry.is_due(last)
    except (ValueError, RuntimeError, ParseException) as error:
        return str(error)
    return [due, round(seconds * 1e6)]


def instants(rng, zone, longest=timedelta(days=40)):
    """A last run and a now, one in two near a change of the zone's clocks."""
    start = datetime(2005, 1, 1, tzinfo=UTC)
    last = start + timedelta(seconds=rng.randrange(25 * 365 * 86400))
    if rng.random() < 0.5 and (change := next_change(zone, last)):
        last = change + timedelta(seconds=rng.randrange(-3 * 86400, 3 * 86400) // rng.choice([1, 30]))
    if rng.random() < 0.3:
        last = last.replace(second=0)
    if rng.random() < 0.5:
        last += timedelta(microseconds=rng.randrange(1000000))
    ago = timedelta(seconds=rng.choice([0, 1, 60, 3600, 86400]) * rng.random())
    now = last + rng.choice([ago, timedelta(0), longest * rng.random(), -ago])
    return {"timezone": zone, "last_run_at": last.isoformat(), "now": now.isoformat()}


@cache
def changes(zone):
    info, found = zones.get_timezone(zone), []
    day = datetime(2005, 1, 1, tzinfo=UTC)
    for _ in range(26 * 365):
        following = day + timedelta(days=1)
        if day.astimezone(info).utcoffset() != following.astimezone(info).utcoffset():
            found += [day + timedelta(hours=hour) for hour in range(24)
                      if (day + timedelta(hours=hour)).astimezone(info).utcoffset()
                      != (day + timedelta(hours=hour + 1)).astimezone(info).utcoffset()]
        day = following
    return found


def next_change(zone, instant):
    return next((change for change in changes(zone) if change > instant), None)


def number(rng, name):
    low, high = FIELDS[name]
    if name == "day_of_week" and rng.random() < 0.4:
        return rng.choice(DAYS)
    if name == "month_of_year" and rng.random() < 0.4:
        return rng.choice(MONTHS)
    return str(rng.randint(low, high))


def part(rng, name):
    kind = rng.random()
    if kind < 0.25:
        text = "*"
    elif kind < 0.6:
        return number(rng, name)
    else:
        text = f"{number(rng, name)}-{number(rng, name)}"
    return f"{text}/{rng.randint(1, 20)}" if rng.random() < 0.5 else text


def field(rng, name):
    """A field in one of its forms."""
    low, high = FIELDS[name]
    kind = rng.random()
    if kind < 0.05:
        return rng.randint(low, high)
    if kind < 0.1:
        return [rng.randint(low, high) for _ in range(rng.randint(1, 4))]
    return ",".join(part(rng, name) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def fields(rng):
    likely = {"minute": 0.8, "hour": 0.6, "day_of_month": 0.3, "month_of_year": 0.2,
              "day_of_week": 0.3}
    return {name: field(rng, name) for name in FIELDS if rng.random() < likely[name]}


def compare(questions, makers, near=0):
    theirs = [ask_celery(make, question) for make, question in zip(makers, questions)]
    ours = ask([{"deadline": None, "relative": False, **question} for question in questions])
    assert len(theirs) == len(ours)

    def same(their, our):
        if isinstance(their, str) or isinstance(our, str):
            return type(their) is type(our)  # why it cannot be told is each one's own text
        return their[0] == our[0] and abs(their[1] - our[1]) <= near * 1e6

    different = [f"{question}: Celery {their}, Celeriac {our}"
                 for question, their, our in zip(questions, theirs, ours) if not same(their, our)]
    assert not different, f"{len(different)} of {len(questions)}:\n" + "\n".join(different[:20])
    return theirs


@pytest.mark.parametrize("zone", ZONES)
def test_crontabs(zone):
    rng = random.Random(f"crontab {zone}")
    specs = [fields(rng) for _ in range(1500)]
    questions = [{"schedule": {"crontab": spec}, **instants(rng, zone),
                  "deadline": rng.choice([None, None, 0, 30, 3600, 86400])} for spec in specs]
    answers = compare(questions, [lambda spec=spec, **kwargs: crontab(**spec, **kwargs)
                                  for spec in specs])
    dues = [answer[0] for answer in answers if not isinstance(answer, str)]
    assert 100 < sum(dues) < len(dues) - 100


def wrong(rng):
    """A text that may be a field, or be close to one."""
    pieces = ["*", "/", "-", ",", "0", "7", "60", "5", "mon", "Märzen", "x", " 3", "1_0", "+2", "-1", ""]
    return "".join(rng.choice(pieces) for _ in range(rng.randint(1, 6)))


def test_fields_of_any_text_are_taken_or_refused_alike():
    rng = random.Random("fields")
    specs = [{rng.choice(list(FIELDS)): wrong(rng)} for _ in range(3000)]
    still = {"timezone": "UTC", "last_run_at": "2026-03-10T10:07:13+00:00",
             "now": "2026-03-10T10:07:13+00:00"}
    questions = [{"schedule": {"crontab": spec}, **still} for spec in specs]
    makers = [lambda spec=spec, **kwargs: crontab(**spec, **kwargs) for spec in specs]
    theirs = [ask_celery(make, question) for make, question in zip(makers, questions)]
    ours = ask([{"deadline": None, "relative": False, **question} for question in questions])
    # Reasons are texts, and need not be the same.
    reasonless = [[None if isinstance(answer, str) else answer for answer in answers]
                  for answers in (theirs, ours)]
    different = [(spec, their, our) for spec, their, our in zip(specs, *reasonless) if their != our]
    assert not different, different[:20]
    assert 500 < reasonless[0].count(None) < 2900


def test_crontabs_in_one_text():
    rng = random.Random("text")
    texts = [" ".join(str(part(rng, name)) for name in FIELDS) for _ in range(500)]
    questions = [{"schedule": text, **instants(rng, "Europe/Paris")} for text in texts]

    def from_string(text, app, nowfun):
        entry = crontab.from_string(text)
        entry.app, entry.nowfun = app, nowfun
        return entry

    compare(questions, [lambda text=text, **kwargs: from_string(text, **kwargs) for text in texts])


@pytest.mark.parametrize("zone", ZONES)
def test_intervals(zone):
    rng = random.Random(f"interval {zone}")
    questions, makers = [], []
    for _ in range(1000):
        every = rng.choice([1, 60, 3600, 86400]) * rng.choice([1, 2, 7, round(rng.uniform(0.1, 40), 3)])
        relative = rng.random() < 0.8
        questions.append({"schedule": every, "relative": relative,
                          **instants(rng, zone, timedelta(seconds=every * 2))})
        makers.append(lambda every=every, relative=relative, **kwargs:
                      schedule(every, relative, **kwargs))
    compare(questions, makers)


def test_solar_events():
    rng = random.Random("solar")
    questions, makers = [], []
    for count in range(900):
        spec = {"event": EVENTS[count % len(EVENTS)], "lat": round(rng.uniform(-60, 60), 4),
                "lon": round(rng.uniform(-180, 180), 4)}
        questions.append({"schedule": {"solar": spec}, **instants(rng, "UTC")})
        makers.append(lambda spec=spec, **kwargs: solar(**spec, **kwargs))
    compare(questions, makers, near=SOLAR_SECONDS)


def solar_question(event, lat, lon, last):
    last = last.isoformat()
    return {"schedule": {"solar": {"event": event, "lat": lat, "lon": lon}}, "timezone": "UTC",
            "last_run_at": last, "now": last}


def test_the_sun_that_stays_up_or_down():
    """Where an event does not come today, the next one may be months away."""
    place = {"lat": 69.65, "lon": 18.96}  # Tromsø
    questions, makers = [], []
    for month in range(1, 13):
        last = datetime(2026, month, 10, 12, 0, 1, tzinfo=UTC)
        for event in EVENTS:
            questions.append(solar_question(event, **place, last=last))
            makers.append(lambda event=event, **kwargs: solar(event, **place, **kwargs))
    # Near the first and last of a season the height changes by little.
    answers = compare(questions, makers, near=60)
    assert max(answer[1] for answer in answers) > 50 * 86400e6
