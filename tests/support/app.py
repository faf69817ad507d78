"""The Celery application of the suite's Python workers: `celery -A support.app`."""

import json
import os

from celery import Celery

from .broadcasts import queues
from .suite import register

settings = json.loads(os.environ.get("INTEROP_SETTINGS", "{}"))
if "task_queues" in settings:
    settings["task_queues"] = queues(settings["task_queues"])

app = Celery("interop", include=["t.integration.tasks", "support.processes", "support.tasks"])
app.conf.update(settings)
register(app)
