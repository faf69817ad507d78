"""Whole workflows leave behind exactly what they leave behind a Python worker."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from celery import chain, chord, chunks, group, uuid
from celery.result import result_from_tuple

from support.lane import Lane
from support.twins import differences
from support.workers import python_worker, rust_worker
from support.workflows import Bench, Tasks, linked, plain

from conftest import answers, client


WORKFLOWS = {
    "chain": lambda t: t.add(1, 2) | t.add(10) | t.add(100),
    "chain, immutable": lambda t: t.add(1, 2) | t.add(3, 4, immutable=True),
    "chain that fails": lambda t: t.add(1, 2) | t.fail() | t.add(100) | t.mul(7),
    "links": lambda t: linked(t.add(1, 2), link=[t.add(3), t.mul(4)]),
    "one link": lambda t: linked(t.add(1, 2), link=[t.add(3)]),
    "link to a chain": lambda t: linked(t.add(1, 2), link=[t.add(3) | t.mul(4)]),
    "link to a group": lambda t: linked(t.add(1, 2), link=[group(t.add(3), t.mul(4))]),
    "link to a chord": lambda t: linked(
        t.add(1, 2), link=[chord([t.add(3), t.mul(4)], t.tsum())]
    ),
    "old-style errback": lambda t: linked(t.fail(1), link_error=[t.errback_old_style()]),
    "new-style errback": lambda t: linked(t.fail(1), link_error=[t.errback_new_style()]),
    "both errbacks": lambda t: linked(
        t.fail(1), link_error=[t.errback_old_style(), t.errback_new_style(), t.identity()]
    ),
    "group": lambda t: group(t.add(1, 2), t.add(3, 4), t.fail(5)),
    "group of one": lambda t: group([t.add(1, 2)]),
    "group in a chain": lambda t: t.add(1, 2) | group(t.add(10), t.add(20)),
    "chord": lambda t: chord([t.add(1, 2), t.add(3, 4)], t.tsum()),
    "chord of one": lambda t: chord([t.add(1, 2)], t.tsum()),
    "chord in a chain": lambda t: t.add(1, 2) | group(t.add(10), t.add(20)) | t.tsum() | t.mul(2),
    "chord, then a group": lambda t: (
        t.add(1, 2) | group(t.add(10), t.add(20)) | t.tsum() | group(t.add(1), t.mul(3))
    ),
    "chord of chains": lambda t: chord(
        [t.add(1, 2) | t.add(3), t.add(4, 5) | t.add(6)], t.tsum()
    ),
    "chord of groups": lambda t: chord(
        [group(t.add(1, 2), t.add(3, 4)), t.add(5, 6)], t.tsum()
    ),
    "chord of a chain that ends in a group": lambda t: chord(
        [t.add(1, 2) | group(t.add(3), t.add(4)), t.add(5, 6)], t.xsum()
    ),
    "chord of chords": lambda t: chord(
        [chord([t.add(1, 2), t.add(3, 4)], t.tsum()), t.add(5, 6)], t.xsum()
    ),
    "chord whose body is a chain": lambda t: chord(
        [t.add(1, 2), t.add(3, 4)], t.tsum() | t.add(7) | t.mul(2)
    ),
    "chord whose body is a chord": lambda t: chord(
        [t.add(1, 2), t.add(3, 4)], chord([t.xsum(), t.tsum()], t.identity())
    ),
    "three deep": lambda t: chord(
        [chord([chord([t.add(1, 2), t.add(3, 4)], t.tsum()), t.add(5, 6)], t.xsum()), t.add(7, 8)],
        t.identity(),
    ),
    "header that fails": lambda t: linked(
        chord([t.add(1, 2), t.fail(3)], t.tsum()), link_error=[t.errback_old_style()]
    ),
    "header that fails, new style": lambda t: linked(
        chord([t.add(1, 2), t.fail(3)], t.tsum()), link_error=[t.errback_new_style()]
    ),
    "body that fails": lambda t: linked(
        chord([t.add(1, 2), t.add(3, 4)], t.fail()), link_error=[t.errback_old_style()]
    ),
    "chain in a header that fails": lambda t: chord(
        [t.add(1, 2) | t.fail() | t.add(3), t.add(4, 5)], t.tsum()
    ),
    "header that fails, a chain after it": lambda t: chain(
        chord([t.add(1, 2), t.fail(3)], t.tsum()), t.add(4), t.mul(5)
    ),
    "chain with errbacks": lambda t: linked(
        t.add(1, 2) | t.fail() | t.add(3),
        link_error=[t.errback_new_style(), t.errback_old_style()],
    ),
    "group with an errback": lambda t: linked(
        group(t.add(1, 2), t.fail(1)), link_error=[t.errback_old_style()]
    ),
    "member with an errback": lambda t: chord(
        [t.add(1, 2), linked(t.fail(3), link_error=[t.errback_old_style()])], t.tsum()
    ),
    "member with a link": lambda t: chord(
        [t.add(1, 2), linked(t.add(3, 4), link=[t.mul(5)])], t.tsum()
    ),
    "body with errbacks of its own": lambda t: chord(
        [t.add(1, 2), t.fail(3)],
        linked(t.tsum(), link_error=[t.errback_new_style(), t.errback_old_style()]),
    ),
    "body with a link": lambda t: chord(
        [t.add(1, 2), t.add(3, 4)], linked(t.tsum(), link=[t.mul(5)])
    ),
    "chain as errback": lambda t: linked(
        t.fail(1), link_error=[t.errback_old_style() | t.identity()]
    ),
    "group as errback": lambda t: linked(
        t.fail(1), link_error=[group(t.errback_old_style(), t.identity())]
    ),
    "errback that fails": lambda t: linked(t.fail(1), link_error=[t.fail()]),
    "chord of none": lambda t: chord([], t.identity(7, immutable=True)),
    # Each member returns 0: which of those that are added ends first is chance.
    "member that adds to its chord": lambda t: chord(
        [t.add_to_all_to_chord([-4, -4], 4), t.add(0, 0)], t.xsum()
    ),
    "replaced by a task": lambda t: t.add_replaced(1, 2),
    "replaced in a chain": lambda t: t.add(1, 2) | t.add_replaced(10) | t.add(100),
    "replaced in a header": lambda t: chord([t.add_replaced(1, 2), t.add(3, 4)], t.tsum()),
    "replaced as a body": lambda t: chord([t.add(1, 2), t.add(3, 4)], t.add_replaced([5])),
    "replaced by a chain": lambda t: t.replace_with_chain(1, kwargs={"link_msg": "done"}),
    "replaced by a chain in a chain": lambda t: (
        t.add(1, 2) | t.replace_with_chain(kwargs={"link_msg": "done"}) | t.add(100)
    ),
    "replaced by a chain that fails": lambda t: t.replace_with_chain_which_raises(
        1, kwargs={"link_msg": "failed"}
    ),
    "replaced by a group": lambda t: t.add_to_all([1, 2, 3], 10),
    "replaced by a group in a chain": lambda t: (
        t.identity([1, 2, 3]) | t.add_to_all(10) | t.xsum()
    ),
    "replaced by what fails": lambda t: t.fail_replaced(1) | t.identity(),
    "chain sent by a task": lambda t: t.chain_add(4, 8),
    "chord sent by a task": lambda t: t.chord_add(4, 8),
    "map": lambda t: t.app.tasks["celery.map"].s(
        task=t.add_not_typed(), it=[1, 2]
    ),
    "starmap": lambda t: t.app.tasks["celery.starmap"].s(
        task=dict(t.add()), it=[[1, 2], [3, 4]]
    ),
    "chunks": lambda t: t.identity(0) | chunks(
        t.add_not_typed(), [[1, 2], [3, 4], [5, 6]], 2, app=t.app
    ),
    "map of an unknown task": lambda t: t.named(
        "celery.map", kwargs={"task": plain(t.gone()), "it": [1]}
    ),
    "accumulate": lambda t: t.named("celery.accumulate", 1, 2, 3),
    "accumulate, one of them": lambda t: t.named(
        "celery.accumulate", 1, 2, 3, kwargs={"index": 1}
    ),
    "backend_cleanup": lambda t: t.named("celery.backend_cleanup"),
    "chain by its name": lambda t: t.named("celery.chain"),
    "group by its name": lambda t: group_by_name(t, group(t.add(1, 2), t.add(3, 4))),
    "chunks by their name": lambda t: t.named("celery.chunks", kwargs={
        "task": plain(t.add_not_typed()), "it": [[1, 2], [3, 4]], "n": 1,
    }),
    "ids": lambda t: t.ids(1) | t.collect_ids(2) | group(t.collect_ids(3), t.collect_ids(4)),
}


#: How a task can end, its first argument aside.
OUTCOMES = {
    "success": lambda t: t.mul(5, 6, immutable=True),
    "failure": lambda t: t.fail("why", immutable=True),
    "retry": lambda t: t.retry_once(immutable=True),
    "retries exhausted": lambda t: signature(t, "interop.give_up", "enough", 1),
    "retries exhausted, no reason": lambda t: signature(t, "interop.give_up", None, 1),
    "ignored result": lambda t: t.add_ignore_result(1, 2, immutable=True),
    "expired": lambda t: t.identity("late", immutable=True, expires=-1),
    "soft limit": lambda t: t.sleeping(5, immutable=True, soft_time_limit=0.3),
    "replaced": lambda t: t.add_replaced(1, 2, immutable=True),
    "replaced by what fails": lambda t: t.fail_replaced(1, immutable=True),
    "replaced by a chain": lambda t: replaced(t, t.add(1, 2) | t.add(3)),
    "replaced by a group": lambda t: replaced(t, group(t.add(1, 2), t.add(3, 4))),
    "replaced by a chord": lambda t: replaced(t, chord([t.add(1, 2), t.add(3, 4)], t.tsum())),
    "rejected": lambda t: t.reject_without_requeue(immutable=True),
    "ignored": lambda t: signature(t, "interop.ignore", "SUCCESS"),
    "hard limit": lambda t: t.sleeping(5, immutable=True, time_limit=0.3),
    "wrong arguments": lambda t: t.add_not_typed(1, immutable=True),
    "revoked": lambda t: revoked(t.identity("never", immutable=True, task_id=uuid())),
}

#: And where: the task and what is around it.
PLACES = {
    "alone": lambda t, task: linked(task, link_error=[t.errback_old_style()]),
    "in a chain": lambda t, task: t.add(11, 12) | task | t.identity() | t.identity(7, immutable=True),
    "in a group": lambda t, task: group(t.add(11, 12), task),
    "in a header": lambda t, task: linked(
        chord([t.add(11, 12), task], t.identity()), link_error=[t.errback_old_style()]
    ),
    "as a body": lambda t, task: linked(
        chord([t.add(11, 12), t.add(13, 14)], task), link_error=[t.errback_old_style()]
    ),
}


#: Where a Python worker calls errbacks twice.
TWICE = [("hard limit", "alone"), ("hard limit", "as a body")]
CASES = [case for case in product(OUTCOMES, PLACES) if case not in TWICE]


def signature(t, name, *args):
    return t.named(name, *args, immutable=True)


def replaced(t, canvas):
    return signature(t, "interop.replace", plain(canvas))


def revoked(task):
    assert task.app.control.revoke(task.id, reply=True, limit=1, timeout=5)
    return task


def group_by_name(t, canvas):
    """As Celery's own message of a group."""
    result = canvas.freeze()
    return t.named("celery.group", kwargs={
        "tasks": plain(canvas.tasks), "result": result.as_tuple(),
        "group_id": result.id, "partial_args": [],
    })


@pytest.fixture(scope="module", params=[False, True], ids=["acks early", "acks late"])
def benches(request, tmp_path_factory):
    """A Python worker and a Rust worker, each with a Redis of its own."""
    from support.redis_server import RedisServer

    benches, ends = [], []
    for kind in python_worker, rust_worker:
        directory = tmp_path_factory.mktemp(kind.__name__)
        redis = RedisServer(directory)
        ends.append(redis.stop)
        app = client(redis)
        settings = {"task_acks_late": request.param}
        worker = kind(redis, redis, directory, kind.__name__, ["celery"], settings=settings)
        ends.append(worker.stop)
        answers(worker, Lane(app, redis, "celery"))
        benches.append(Bench(app, redis))
    yield benches
    for end in reversed(ends):
        end()


SENT = {
    "chain": (lambda t: t.add(1, 2) | t.add(10) | t.add(100), 113),
    "group": (lambda t: group(t.add(1, 2), t.add(3, 4)), [3, 7]),
    "chord": (lambda t: chord([t.add(1, 2), t.add(3, 4)], t.tsum()), 10),
    "chord of chords": (
        lambda t: chord([chord([t.add(1, 2), t.add(3, 4)], t.tsum()), t.add(5, 6)], t.xsum()), 21
    ),
    "chord of a chain that ends in a group": (
        lambda t: chord([t.add(1, 2) | group(t.add(3), t.add(4)), t.add(5, 6)], t.xsum()), 24
    ),
    "chain of groups": (
        lambda t: group(t.add(1, 2), t.add(3, 4)) | t.tsum() | group(t.add(1), t.mul(3)), [11, 30]
    ),
}


#: A client of 5.3 waits in vain for a group whose handle it was given, whoever ran it.
NOT_BASIC = {"group"}


@pytest.mark.parametrize("workflow, expected", [
    pytest.param(*sent, id=name, marks=[] if name in NOT_BASIC else pytest.mark.basic)
    for name, sent in SENT.items()
])
def test_python_runs_what_rust_sends(rust, python, workflow, expected):
    """A Rust task sends the canvas, a Python worker runs every part of it."""
    canvas = plain(workflow(Tasks(rust.app, queue=python.queue)))
    result = result_from_tuple(rust.call("interop.apply", canvas), rust.app)
    assert result.get(timeout=15) == expected


@pytest.mark.parametrize("stamps", [{}, {"tenant": "blue"}], ids=["plain", "stamped"])
@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS.keys())
def test_leaves_what_python_leaves(benches, workflow, stamps):
    def canvas(tasks):
        canvas = workflow(tasks)
        if stamps:
            canvas.stamp(**stamps)
        return canvas

    same(benches, canvas)


def same(benches, workflow, **options):
    with ThreadPoolExecutor() as both:
        run = lambda bench: bench.run(lambda app: workflow(Tasks(app)), **options)
        (theirs, their_marks), (ours, our_marks) = both.map(run, benches)
    found = list(differences(theirs, ours))
    assert not found, "\n".join(found)
    assert our_marks == their_marks


@pytest.mark.parametrize("outcome, place", CASES)
def test_leaves_what_python_leaves_of_each_outcome(benches, outcome, place):
    # Whoever ignores its end has not ended for the chord that it is a member of.
    waits = (outcome, place) == ("ignored", "in a header")
    same(benches, lambda tasks: PLACES[place](tasks, OUTCOMES[outcome](tasks)), waits=waits)


@pytest.mark.parametrize("outcome, place", TWICE)
def test_errbacks_of_a_hard_limit_are_called_once(benches, outcome, place):
    _, ours = benches
    _, marks = ours.run(lambda app: PLACES[place](Tasks(app), OUTCOMES[outcome](Tasks(app))))
    assert marks == {"<t.integration.tasks.sleeping [5]>": 1}
