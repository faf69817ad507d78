"""What two workers leave behind for the same task, made comparable."""

import json
import re

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def comparable(meta):
    """A stored result with what is each worker's own replaced by its shape."""
    meta = json.loads(UUID.sub("<id>", json.dumps(meta)))
    for name in ("worker", "queue"):
        if meta.get(name):
            meta[name] = f"<{name}>"
    if meta["status"] == "STARTED":
        meta["result"] = dict.fromkeys(meta["result"], "<pid or hostname>")
    if meta.get("date_done"):
        meta["date_done"] = re.sub(r"\d", "0", meta["date_done"])
    if meta.get("traceback"):
        meta["traceback"] = comparable_traceback(meta["traceback"])
    return meta


def comparable_traceback(text):
    """How it begins and ends; between are the frames of another language."""
    first, *_, last = text.strip().splitlines()
    return first, last


def differences(theirs, ours):
    """Where two histories differ, a line for each key."""
    statuses = [[meta["status"] for meta in history] for history in (theirs, ours)]
    if statuses[0] != statuses[1]:
        yield f"states: Python {statuses[0]}, Rust {statuses[1]}"
    for their, our in zip(theirs, ours):
        for key in sorted(their.keys() | our.keys()):
            if their.get(key, "absent") != our.get(key, "absent"):
                values = (meta.get(key, "absent") for meta in (their, our))
                yield "{} {}: Python {!r}, Rust {!r}".format(their["status"], key, *values)


def compare(python, rust, name, args=(), kwargs=None, besides=(), **options):
    """Runs a task on both lanes; fails if any state it passes differs in any key.

    `besides` names keys for which Rust says what Python leaves out.
    """
    theirs, ours = (
        [comparable(meta) for meta in lane.history(name, args, kwargs, **options)]
        for lane in (python, rust)
    )
    for key in besides:
        assert theirs[-1].pop(key) is None and ours[-1].pop(key) is not None, key
    found = list(differences(theirs, ours))
    assert not found, "\n".join(found)
    return ours
