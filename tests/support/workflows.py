"""All that a workflow leaves behind, made comparable."""

import json
import time
from collections import Counter

from .lane import full_name
from .twins import UUID, comparable
from .waiting import until

READY = {"SUCCESS", "FAILURE", "REVOKED"}


class Tasks:
    """`tasks.add(1)` is `add.s(1)`."""

    def __init__(self, app, **options):
        self.app = app
        self.options = options

    def __getattr__(self, name):
        return lambda *args, **options: self.named(full_name(name), *args, **options)

    def named(self, name, *args, **options):
        return self.app.signature(name, args, **{**self.options, **options})


def linked(signature, *, link=(), link_error=()):
    for callback in link:
        signature.link(callback)
    for errback in link_error:
        signature.link_error(errback)
    return signature


def plain(canvas):
    """As it is on the wire."""
    return json.loads(json.dumps(canvas))


class Bench:
    """A Redis and the one worker that serves it."""

    def __init__(self, app, redis):
        self.app = app
        self.redis = redis

    def run(self, canvas, waits=False):
        """Everything that is stored when all of it has ended; but for a chord
        that `waits` for ever."""
        self.redis.client.flushdb()
        with self.app.connection_for_write() as connection:
            canvas(self.app).apply_async(connection=connection)
        until(lambda: self.quiet(waits), "the workflow ends", 20, interval=0.05)
        return described(self.metas(), self.marks())

    def metas(self):
        keys = self.redis.client.keys("celery-task-meta-*")
        return [json.loads(meta) for meta in self.redis.client.mget(keys) if meta]

    def marks(self):
        """What errbacks have counted."""
        keys = [key for key in self.redis.client.keys() if UUID.fullmatch(key)]
        return {key: int(self.redis.client.get(key)) for key in keys}

    def quiet(self, waits):
        """Nothing waits, nothing runs, and it stays so for a moment."""
        return all(self.at_rest() and self.chord_waits() == waits for _ in range(4))

    def chord_waits(self):
        """Whether some members of a chord have ended, and not all."""
        counted = self.redis.client.keys("celery-taskset-meta-*.j")
        return any(self.redis.client.exists(key[:-1] + "s") for key in counted)

    def at_rest(self):
        time.sleep(0.05)
        queues = [key for key in self.redis.client.keys("celery*") if "meta" not in key]
        waiting = any(self.redis.client.type(key) == "list" for key in queues)
        running = waiting or self.redis.client.hlen("unacked")
        return not running and all(meta["status"] in READY for meta in self.metas())


def described(metas, marks):
    """Metas in a fixed order, their ids replaced by what runs under them."""
    by_id = {meta["task_id"]: meta for meta in metas}

    def place(meta):
        """What tells a task from others: what it is, and what it has sent."""
        sent = [id[0] for id in UUID.finditer(json.dumps(meta.get("children")))]
        return nameless(meta), sorted(by_id.get(id, {}).get("name") or "" for id in sent)

    metas.sort(key=place)
    names = {}
    for meta in metas:
        names[meta["task_id"]] = "<{} {}>".format(meta.get("name"), nameless(meta.get("args")))
        # Which of a header's members ends last is chance: the parent of the body,
        # and who else lists what follows when the body cannot run.
        parent = meta.get("parent_id")
        if parent and by_id.get(parent, {"group_id": True}).get("group_id"):
            meta["parent_id"] = "<a member>"
        if "name" not in meta:
            del meta["children"]
    for id in UUID.finditer(json.dumps(metas)):
        names.setdefault(id[0], f"<id {len(names)}>")

    def named(value):
        quoted = {id: json.dumps(name)[1:-1] for id, name in names.items()}
        return json.loads(UUID.sub(lambda id: quoted[id[0]], json.dumps(value)))

    marked = Counter({names.get(id, "<other>"): count for id, count in marks.items()})
    return [comparable(named(meta)) for meta in metas], marked


def nameless(value):
    """The value as text without ids and instants, to sort by."""
    if isinstance(value, dict):
        value = {key: value.get(key) for key in ("name", "args", "status", "result")}
    return UUID.sub("", json.dumps(value))
