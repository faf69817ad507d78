"""What two workers leave behind for the same task, made comparable."""

import re

#: What cannot be equal: which worker, which queue, which task.
ITS_OWN = ("task_id", "worker", "queue", "root_id", "parent_id")


def comparable(meta):
    """A stored result with what is each worker's own replaced by its shape."""
    meta = dict(meta)
    if meta["status"] == "STARTED":
        meta["result"] = dict.fromkeys(meta["result"], "<its own>")
    for name in ITS_OWN:
        if meta.get(name):
            meta[name] = f"<{name}>"
    if meta.get("date_done"):
        meta["date_done"] = re.sub(r"\d", "0", meta["date_done"])
    if meta.get("traceback"):
        meta["traceback"] = comparable_traceback(meta["traceback"])
    if meta.get("children"):
        meta["children"] = re.sub(r"[0-9a-f-]{36}", "<id>", repr(meta["children"]))
    return meta


def comparable_traceback(text):
    """How it begins and ends; between are the frames of another language."""
    lines = text.strip().splitlines()
    return lines[0], lines[-1]


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


def compare(python, rust, name, args=(), kwargs=None, **options):
    """Runs a task on both lanes; fails if any state it passes differs in any key."""
    theirs, ours = (
        [comparable(meta) for meta in lane.history(name, args, kwargs, **options)]
        for lane in (python, rust)
    )
    found = list(differences(theirs, ours))
    assert not found, "\n".join(found)
    return ours
