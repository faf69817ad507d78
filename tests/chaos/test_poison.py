"""Messages that somebody has damaged lie among good ones."""

import json

from support.memory import resident

from .site import QUEUE, SECONDS

MIB = 1 << 20
#: What stands where something else should.
WRONG = [None, 0, -1, 1e308, "", "x" * 70_000, [], {}, [[]], {"a": {"b": []}}, True,
         "\ud800", "9" * 400, {"__type__": "uuid", "__value__": 1}]


def places(value, path=()):
    """The path of everything in it."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


def replaced(value, path, by):
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


def damaged(text, rng):
    """A message with one thing wrong in it."""
    if rng.random() < 0.3:
        raw = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        return bytes(raw[: rng.randint(1, len(raw))] if rng.random() < 0.3 else raw)
    message = json.loads(text)
    return json.dumps(replaced(message, rng.choice(list(places(message))[1:]), rng.choice(WRONG)))


def test_damaged_messages_harm_nobody(site, work, report):
    many = int(300 * SECONDS)
    work.tasks(1)
    broker = site.broker.client
    text = broker.lindex(QUEUE, 0)
    # Their work goes to a list of its own.
    other = json.dumps(json.loads(text))
    worker = site.worker(concurrency=8)
    site.rest()
    before = resident(worker.pid)
    work.pause = 0
    for turn in range(many):
        broker.lpush(QUEUE, damaged(other, site.rng))
        if turn % 10 == 0:
            work.tasks(1)
    site.rest(120)
    assert worker.running
    good = {mark: count for mark, count in site.verdict().items() if mark != "task-1"}
    assert good == {}, "a good one ran twice"
    letters = broker.llen("celeriac.dead_letter")
    assert letters > 0 and broker.llen("celeriac.refused") == 0
    log = worker.log.read_text(errors="replace")
    assert "panicked" not in log
    assert resident(worker.pid) - before < 150 * MIB
    report("damaged messages", f"{many} among {len(site.expected)} good ones: {letters} kept as dead letters, "
           f"memory {before / MIB:.0f} to {resident(worker.pid) / MIB:.0f} MiB")
