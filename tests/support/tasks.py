"""Tasks of the suite's own, beside those of the interop worker's table."""

import builtins
from datetime import datetime
from time import sleep

from celery import current_app, shared_task, signature
from celery.exceptions import Ignore
from celery.result import allow_join_result

from .suite import ExpectedException, get_redis_connection


@shared_task(name="interop.record")
def record(value, key, pause=0):
    """Works for `pause` seconds, then leaves `value` in the list `key`."""
    sleep(pause)
    get_redis_connection().rpush(key, value)


@shared_task(name="interop.relay")
def relay(task, args, queue):
    """Has another worker run a task, and returns its result."""
    result = current_app.send_task(task, args, queue=queue)
    with allow_join_result():
        return result.get(timeout=10)


@shared_task(name="interop.apply")
def apply(canvas):
    """Sends any canvas; its result, as a tuple."""
    return signature(canvas).apply_async().as_tuple()


@shared_task(name="interop.give_up", bind=True)
def give_up(self, reason, max_retries):
    """Retries until it may no longer; fails with `reason`, if there is one."""
    exc = ExpectedException(reason) if reason else None
    raise self.retry(exc=exc, max_retries=max_retries, countdown=0.1)


@shared_task(name="interop.ignore", bind=True)
def ignore(self, state):
    """Stores its state by itself, and nothing is stored after that."""
    self.update_state(state=state, meta="by itself")
    raise Ignore()


@shared_task(name="interop.replace", bind=True)
def replace(self, canvas):
    """Any canvas takes its place."""
    raise self.replace(signature(canvas))


@shared_task(name="interop.retry_with", bind=True)
def retry_with(self, **options):
    raise self.retry(countdown=0, **options)


@shared_task(name="interop.retry_at", bind=True)
def retry_at(self, eta):
    """Retries at that time; what its request knows of it then."""
    if self.request.retries:
        return self.request.eta
    raise self.retry(eta=datetime.fromisoformat(eta))


@shared_task(name="native.slow", rate_limit="10/s")
def slow(n):
    """Starts ten times a second at most."""
    return n


@shared_task(name="native.flaky", bind=True, max_retries=2, default_retry_delay=0.1,
             autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,))
def flaky(self, times, exception):
    """Fails `times` times with an exception of this class."""
    retries = self.request.retries
    if retries < times:
        raise getattr(builtins, exception)(f"try {retries}")
    return retries


@shared_task(name="native.patient", max_retries=2, autoretry_for=(LookupError,),
             retry_backoff=1, retry_backoff_max=60, retry_jitter=False)
def patient():
    """Fails as long as it may; the pauses grow."""
    raise KeyError("not yet")
