"""Python twins of the interop worker's tasks, under the same names.

Workers of both kinds run the same scenarios; `test_twins.py` compares what
they leave behind. Clients import it too, so that exceptions have their class.
"""

import os
from collections.abc import Iterable
from time import sleep

import redis
from celery import chain, chord, group, shared_task
from celery.exceptions import Reject, SoftTimeLimitExceeded


class ExpectedException(Exception):
    """A failure that a test asked for."""


class UnpickleableException(Exception):
    """Cannot be made again from its args alone."""

    def __init__(self, foo, bar=None):
        if bar is None:
            raise TypeError("bar must be provided")
        super().__init__(foo)
        self.bar = bar


# Arithmetic


@shared_task
def identity(x):
    return x


@shared_task
def add(x, y, z=None):
    return x + y + z if z else x + y


@shared_task
def mul(x, y):
    return x * y


@shared_task(typing=False)
def add_not_typed(x, y):
    return x + y


@shared_task(ignore_result=True)
def add_ignore_result(x, y):
    return x + y


@shared_task
def tsum(nums):
    return sum(nums)


@shared_task
def xsum(nums):
    return sum(sum(num) if isinstance(num, Iterable) else num for num in nums)


# Failures


@shared_task
def raise_error(*args):
    raise ValueError("deliberate error")


@shared_task
def fail(*args):
    raise ExpectedException("Task expected to fail", *args)


@shared_task
def fail_unpickleable(foo, bar):
    raise UnpickleableException(foo, bar)


@shared_task
def return_exception(e):
    return e, True


@shared_task(bind=True, acks_late=True)
def reject_then_succeed(self):
    if not self.request.delivery_info.get("redelivered"):
        raise Reject("first", requeue=True)
    return "second-pass"


@shared_task(acks_late=True)
def reject_without_requeue():
    raise Reject("rejected", requeue=False)


# Retries


@shared_task(bind=True)
def retry(self, return_value=None):
    if return_value:
        attempt = getattr(self, "attempt", 0)
        if attempt >= 3:
            del self.attempt
            return return_value
        self.attempt = attempt + 1
    raise self.retry(exc=ExpectedException(), countdown=5)


@shared_task(bind=True)
def retry_unpickleable(self, foo, bar, *, retry_kwargs):
    raise self.retry(exc=UnpickleableException(foo, bar), **retry_kwargs)


@shared_task(bind=True, expires=120.0, max_retries=1)
def retry_once(self, *args, expires=None, max_retries=1, countdown=0.1):
    if self.request.retries:
        return self.request.retries
    raise self.retry(countdown=countdown, max_retries=max_retries)


@shared_task(bind=True, max_retries=1)
def retry_once_priority(self, *args, max_retries=1, countdown=0.1):
    if self.request.retries:
        return self.request.delivery_info["priority"]
    raise self.retry(countdown=countdown, max_retries=max_retries)


@shared_task(bind=True, max_retries=1)
def retry_once_headers(self, *args, max_retries=1, countdown=0.1):
    if self.request.retries:
        return self.request.headers
    raise self.retry(countdown=countdown, max_retries=max_retries)


@shared_task(
    bind=True, name="auto_retry_class_task", autoretry_for=(ValueError,),
    retry_kwargs={"max_retries": 1}, retry_backoff=True, retry_jitter=False,
)
def auto_retry_class_task(self):
    if self.request.retries:
        return self.request.retries
    raise ValueError()


# What a request knows


@shared_task(bind=True)
def ids(self, i):
    return self.request.root_id, self.request.parent_id, i


@shared_task(bind=True)
def collect_ids(self, res, i):
    return res, (self.request.root_id, self.request.parent_id, i)


@shared_task(bind=True)
def return_priority(self, *_):
    return f"Priority: {self.request.delivery_info['priority']}"


@shared_task(bind=True)
def return_properties(self):
    return self.request.properties


@shared_task(bind=True)
def return_request_time_limits(self):
    return {
        "time_limit": self.request.time_limit,
        "soft_time_limit": self.request.soft_time_limit,
    }


# Time


@shared_task
def sleeping(i, **_):
    sleep(i)


@shared_task
def delayed_sum(numbers, pause_time=1):
    sleep(pause_time)
    return sum(numbers)


@shared_task
def delayed_sum_with_soft_guard(numbers, pause_time=1):
    try:
        sleep(pause_time)
        return sum(numbers)
    except SoftTimeLimitExceeded:
        return 0


# Effects that a test can see in Redis


def connection():
    host, port = os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])
    return redis.Redis(host=host, port=port)


@shared_task
def redis_echo(message, redis_key="redis-echo"):
    connection().rpush(redis_key, message)


@shared_task
def redis_count(redis_key="redis-count"):
    connection().incr(redis_key)


# Canvases that tasks send, or run in their place


@shared_task
def chain_add(x, y):
    (add.s(x, x) | add.s(y)).apply_async()


@shared_task
def chord_add(x, y):
    chord(add.s(x, x), add.s(y)).apply_async()


@shared_task
def build_chain_inside_task():
    return (add.s(1, 1) | add.s(2) | group(add.s(3), add.s(4)) | add.s(5))()


@shared_task(bind=True)
def add_replaced(self, x, y):
    raise self.replace(add.s(x, y))


@shared_task(bind=True)
def fail_replaced(self, *args):
    raise self.replace(fail.si(*args))


@shared_task(bind=True)
def add_to_all(self, nums, val):
    raise self.replace(group(add.s(num, val) for num in nums))


@shared_task(bind=True)
def add_to_all_to_chord(self, nums, val):
    for num in nums:
        self.add_to_chord(add.s(num, val))
    return 0


@shared_task(bind=True)
def replace_with_chain(self, *args, link_msg=None):
    link = redis_echo.s() if link_msg is None else redis_echo.si(link_msg)
    replacement = chain(identity.s(*args), identity.s())
    replacement.link(link)
    return self.replace(replacement)


@shared_task(bind=True)
def replace_with_chain_which_raises(self, *args, link_msg=None):
    link = redis_echo.s() if link_msg is None else redis_echo.si(link_msg)
    replacement = chain(identity.s(*args), raise_error.s())
    replacement.link_error(link)
    return self.replace(replacement)


@shared_task(soft_time_limit=2, time_limit=1)
def soft_time_limit_must_exceed_time_limit():
    """Is never sent: that takes limits in their order."""


@shared_task
def errback_old_style(request_id):
    connection().incr(request_id)
    return request_id


@shared_task
def errback_new_style(request, exc, tb):
    connection().incr(request.id)
    return request.id
