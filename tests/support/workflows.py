"""All that a workflow leaves behind, made comparable."""

import json
import time
from collections import Counter

from .twins import UUID, comparable
from .waiting import until

READY = {"SUCCESS", "FAILURE", "REVOKED"}


class Bench:
    """A Redis and the one worker that serves it."""

    def __init__(self, app, redis):
        self.app = app
        self.redis = redis

    def run(self, canvas, **options):
        """Everything that is stored when all of it has ended."""
        self.redis.client.flushdb()
        with self.app.connection_for_write() as connection:
            canvas(self.app).apply_async(connection=connection, **options)
        until(self.quiet, "the workflow ends", 20, interval=0.05)
        return described(self.metas(), self.marks())

    def metas(self):
        keys = self.redis.client.keys("celery-task-meta-*")
        return [json.loads(meta) for meta in self.redis.client.mget(keys) if meta]

    def marks(self):
        """What errbacks have counted."""
        keys = [key for key in self.redis.client.keys() if UUID.fullmatch(key)]
        return {key: int(self.redis.client.get(key)) for key in keys}

    def quiet(self):
        """Nothing waits, nothing runs, and it stays so for a moment."""
        return all(self.at_rest() for _ in range(4))

    def at_rest(self):
        time.sleep(0.05)
        queues = [key for key in self.redis.client.keys("celery*") if "meta" not in key]
        waiting = any(self.redis.client.type(key) == "list" for key in queues)
        counted = self.redis.client.keys("celery-taskset-meta-*.j")
        chords = any(self.redis.client.exists(key[:-1] + "s") for key in counted)
        running = waiting or chords or self.redis.client.hlen("unacked")
        return not running and all(meta["status"] in READY for meta in self.metas())


def described(metas, marks):
    """Metas in a fixed order, their ids replaced by what runs under them."""
    by_id = {meta["task_id"]: meta for meta in metas}

    def place(meta):
        """What tells a task from others: what it is, and what it has sent."""
        sent = [id[0] for id in UUID.finditer(json.dumps(meta["children"]))]
        return nameless(meta), sorted(by_id.get(id, {}).get("name") or "" for id in sent)

    metas.sort(key=place)
    names = {}
    for meta in metas:
        names[meta["task_id"]] = "<{} {}>".format(meta.get("name"), nameless(meta.get("args")))
        # Which of a header's members ends last is the parent of the body: chance.
        if by_id.get(meta.get("parent_id"), {}).get("group_id"):
            meta["parent_id"] = "<a member>"
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
