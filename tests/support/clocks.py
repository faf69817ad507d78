"""Machines whose clocks are wrong."""

from pathlib import Path

import pytest

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

needs_faketime = pytest.mark.skipif(
    LIBRARY is None, reason="faketime is not installed: apt-get install faketime"
)


def off_by(hours):
    """The environment of a process whose clock is wrong, and runs as fast as any."""
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{hours:+}h",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
