"""The Celery application of the suite's Python workers: `celery -A support.app`."""

import json
import os

from celery import Celery

app = Celery("interop", include=["t.integration.tasks", "support.processes", "support.tasks"])
app.conf.update(json.loads(os.environ.get("INTEROP_SETTINGS", "{}")))
