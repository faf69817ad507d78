"""Celery's own worker in a process of its own, to tell what it passes itself."""

import celery.contrib.testing.tasks  # noqa: F401
from celery import Celery

app = Celery("suite", include=["t.integration.tasks"])
app.conf.result_extended = True


@app.on_after_finalize.connect
def register(sender, **_):
    from t.integration.tasks import ClassBasedAutoRetryTask

    sender.register_task(ClassBasedAutoRetryTask)
