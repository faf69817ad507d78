"""What a monitor sees: Celery's own receiver of events, in a thread."""

import re
import threading
from contextlib import contextmanager

from celery import uuid

from .twins import UUID, comparable_traceback
from .waiting import until


class Monitor:
    """Keeps every event, as `app.events.Receiver` hands it out."""

    def __init__(self, app):
        self.app = app
        self.events = []
        self.receiver = None
        self.thread = threading.Thread(target=self.capture, daemon=True)
        self.thread.start()

    def capture(self):
        with self.app.connection_for_read() as connection:
            handlers = {"*": self.events.append}
            self.receiver = self.app.events.Receiver(connection, handlers=handlers)
            # Without a time-out: a receiver that begins anew misses what is told meanwhile.
            self.receiver.capture(wakeup=False)

    def listens(self):
        """Waits until nothing that is sent from now on is missed."""
        name = f"custom-{uuid()}"

        def heard():
            with self.app.events.default_dispatcher() as dispatcher:
                dispatcher.send(name)
            return any(event["type"] == name for event in self.events)

        until(heard, "the monitor listens", interval=0.1)
        return self

    def stop(self):
        self.receiver.should_stop = True  # It looks once a second.
        self.thread.join()

    def of_task(self, id):
        return [event for event in self.events if event.get("uuid") == id]

    def of_worker(self, node, kind=None):
        return [
            event for event in self.events
            if event["hostname"] == node and kind in (None, event["type"])
        ]


@contextmanager
def monitoring(app):
    monitor = Monitor(app)
    try:
        yield monitor.listens()
    finally:
        monitor.stop()


#: Different for each event, whoever sends it.
OWN = ("hostname", "pid", "clock", "timestamp", "local_received", "runtime", "loadavg")


def comparable(event):
    """An event with what is each worker's own replaced by its type, as a list
    of fields: their order is compared, too."""
    event = dict(event)
    for name in OWN:
        if name in event:
            event[name] = type(event[name]).__name__
    for name, value in event.items():
        if name in ("eta", "expires") and value:
            event[name] = re.sub(r"\d", "0", value)
        elif name == "traceback":
            event[name] = comparable_traceback(UUID.sub("<id>", value))
        elif isinstance(value, str):
            event[name] = UUID.sub("<id>", value)
    return list(event.items())


def same(theirs, ours):
    """Fails if two lists of comparable events differ, and says where."""
    kinds = [[dict(event)["type"] for event in events] for events in (theirs, ours)]
    assert kinds[1] == kinds[0], f"Python {kinds[0]}, Rust {kinds[1]}"
    for their, our in zip(theirs, ours):
        kind = dict(their)["type"]
        assert [name for name, _ in our] == [name for name, _ in their], kind
        differing = [f"Python {a}, Rust {b}" for a, b in zip(their, our) if a != b]
        assert not differing, f"{kind}: " + "; ".join(differing)
