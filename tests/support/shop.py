"""The Python twin of the example `hooks`: a task whose class writes down its runs."""

from celery import Task, shared_task

from .app import app  # noqa: F401 - what the worker is told to run
from .suite import get_redis_connection


class Journal(Task):
    """Writes down what becomes of each run."""

    def write(self, task_id, text):
        get_redis_connection().rpush(f"journal:{task_id}", text)

    def before_start(self, task_id, args, kwargs):
        self.write(task_id, "before_start")

    def on_success(self, retval, task_id, args, kwargs):
        self.write(task_id, f"on_success {retval}")

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.write(task_id, f"on_failure {type(exc).__name__}: {exc}")

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        self.write(task_id, f"on_retry {type(exc).__name__}: {exc}")

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        self.write(task_id, f"after_return {status}")


@shared_task(name="shop.order", base=Journal, bind=True, max_retries=1)
def order(self, item, way="well"):
    """Orders an item, in one of several ways."""
    if way == "fail":
        raise ValueError("sold out")
    if way == "never" or way == "later" and not self.request.retries:
        raise self.retry(countdown=0.1, exc=ValueError("sold out"))
    return len(item)
