"""Celery's own worker in a process of its own, to tell what it passes itself."""

import celery.contrib.testing.tasks  # noqa: F401
from celery import Celery
from celery.contrib.testing.app import DEFAULT_TEST_CONFIG

from support.suite import register

#: Where the environment says otherwise.
ADDRESSES = ("broker_url", "result_backend")

app = Celery("suite", include=["t.integration.tasks"])
app.conf.update({k: v for k, v in DEFAULT_TEST_CONFIG.items() if k not in ADDRESSES})
app.conf.result_extended = True
register(app)
