"""Tasks that run in child processes, and what can become of those."""

import os
import signal
from time import monotonic, sleep

from celery import shared_task, signature
from celery.exceptions import SoftTimeLimitExceeded

from .suite import get_redis_connection


@shared_task(name="processes.pid")
def pid(_before=None):
    return os.getpid()


@shared_task(name="processes.crash")
def crash(signum=9):
    os.kill(os.getpid(), signum)


def crash_at_first(key, times):
    run = get_redis_connection().incr(key)
    if run <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return run


@shared_task(name="processes.crash_late", acks_late=True)
def crash_late(key, times=1):
    return crash_at_first(key, times)


@shared_task(name="processes.crash_rejected", acks_late=True, reject_on_worker_lost=True)
def crash_rejected(key, times=1):
    return crash_at_first(key, times)


@shared_task(name="processes.crash_retried", acks_late=True, reject_on_worker_lost=True,
             retry_on_worker_lost=True, max_retries=2, default_retry_delay=0.1)
def crash_retried(key, times=1):
    return crash_at_first(key, times)


@shared_task(name="processes.hang_at_first", acks_late=True)
def hang_at_first(key, seconds):
    run = get_redis_connection().incr(key)
    if run == 1:
        sleep(seconds)
    return run


@shared_task(name="processes.leave")
def leave(code):
    os._exit(code)


@shared_task(name="processes.fail", autoretry_for=(ValueError,), max_retries=0)
def fail():
    raise ValueError("in a child")


@shared_task(name="processes.spin")
def spin(seconds, key=None):
    begun = monotonic()
    while monotonic() - begun < seconds:
        pass
    if key:
        get_redis_connection().incr(key)
    return os.getpid()


@shared_task(name="processes.listen")
def listen(seconds):
    begun = monotonic()
    try:
        while monotonic() - begun < seconds:
            pass
    except SoftTimeLimitExceeded:
        return "interrupted"
    return "done"


@shared_task(name="processes.progress", bind=True)
def progress(self, steps):
    for step in range(1, steps + 1):
        self.update_state(state="PROGRESS", meta={"done": step, "of": steps})
    return steps


@shared_task(name="processes.send")
def send(queue):
    return signature("t.integration.tasks.identity", (1,), queue=queue).delay().id


@shared_task(name="processes.again", bind=True)
def again(self):
    if self.request.retries:
        return self.request.retries
    raise self.retry(exc=ValueError("not yet"), countdown=0.1)


@shared_task(name="processes.replaced", bind=True)
def replaced(self, value, queue):
    raise self.replace(signature("t.integration.tasks.identity", (value,), queue=queue))
