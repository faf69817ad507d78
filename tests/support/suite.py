"""Celery's own integration tasks: our Python workers run them, and the Rust worker has them too.

They are in Celery's source distribution, which `tests/run` fetches.
"""

import os
import sys
from pathlib import Path

CACHE = Path(os.environ.get("CELERIAC_CACHE") or Path.home() / ".cache/celeriac")
SUITE = CACHE / "celery-5.7.0-suite"

if not (SUITE / "t/integration/tasks.py").exists():
    raise FileNotFoundError(f"no tests of Celery in {SUITE}: run tests/celery_suite/fetch")
if str(SUITE) not in sys.path:
    sys.path.append(str(SUITE))

from t.integration.tasks import (  # noqa: E402
    ClassBasedAutoRetryTask,
    ExpectedException,
    get_redis_connection,
)

__all__ = ["SUITE", "ExpectedException", "get_redis_connection", "register"]


class Steady(ClassBasedAutoRetryTask):
    """Its pauses are not left to chance, so that they can be compared."""

    retry_jitter = False


def register(app):
    """Adds the one task that is a class."""
    app.on_after_finalize.connect(add_class, weak=False)


def add_class(sender, **_):
    sender.register_task(Steady)
