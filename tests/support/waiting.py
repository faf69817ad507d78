"""Waiting for something to become true, never for longer than it may take."""

import time


def until(condition, what, timeout=15.0, interval=0.01):
    """The first true value of `condition()`; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what} (last seen: {value!r})")
        time.sleep(interval)
