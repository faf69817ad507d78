"""What Flower's pages show of Rust workers beside a Python one, and what their buttons do.

In a real browser. With `CELERIAC_SCREENSHOTS=DIRECTORY` it keeps pictures of
the pages (see scripts/screenshots).
"""

import re

import pytest

from support.browser import browsing, screenshot
from support.waiting import until

#: What Rust workers always show of their settings; Python's have it elsewhere.
SHOWN_SETTINGS = {"broker_url", "result_backend", "worker_concurrency"}
#: What the Python worker has set that is Python's.
PYTHON_SETTINGS = {"include", "worker_disable_prefetch"}


@pytest.fixture(scope="module")
def window():
    with browsing() as page:
        yield page


class Pages:
    def __init__(self, window, flower):
        self.window = window
        self.flower = flower

    def open(self, path):
        # Tabs are told by a fragment, which alone would load nothing.
        self.window.goto("about:blank")
        self.window.goto(self.flower.url + path)
        return self

    def worker(self, member, tab="pool"):
        # More than the 50 tasks that it would list.
        self.open(f"/worker/{member.node}?limit=500#tab-{tab}")
        self.window.locator(f"#tab-{tab}").wait_for(state="visible")
        return self

    def table(self, caption):
        """The rows of the table with this caption, each the texts of its cells."""
        return self.rows(f"table:has(caption:text-is('{caption}'))")

    def rows(self, table):
        """In one step, as a script may fill a table anew at any time."""
        read = """rows => rows.map(row => [...row.cells].map(
            cell => (cell.querySelector("a[title]")?.title || cell.innerText).trim()))"""
        return self.window.locator(f"{table} tbody tr").evaluate_all(read)

    def shows(self, seen, what):
        return until(seen, f"the page shows {what}", 15, 0.1)

    def shows_at_last(self, seen, what):
        """Of a page that is made of what the worker has answered last: loads it again."""

        def again():
            self.window.reload()
            return seen()

        return until(again, f"the page shows {what}", 15, 0.2)

    def press(self, button):
        """Presses a button; gives what the page then says."""
        toasts = self.window.locator(".toast-body")
        before = toasts.count()
        button = self.window.locator(button) if isinstance(button, str) else button
        button.click()
        toasts.nth(before).wait_for()
        return toasts.nth(before).inner_text()

    def fields(self):
        """What the page of a task shows."""
        return dict(zip(self.window.locator("dt").all_inner_texts(),
                        (text.strip() for text in self.window.locator("dd").all_inner_texts())))


@pytest.fixture
def pages(window, fleet):
    return Pages(window, fleet.flower)


def figure(text):
    return int(text.replace(",", "") or 0)


def test_the_workers_and_what_they_have_done(pages, fleet):
    pages.open("/workers")
    columns = ["status", "active", "processed", "failed", "succeeded", "load"]

    nodes = {member.node for member in fleet.members}

    def figures():
        rows = {row[0]: dict(zip(columns, row[1:])) for row in pages.rows("#workers-table")}
        return {node: rows[node] for node in nodes} if rows.keys() >= nodes else {}

    before = pages.shows(figures, "all workers")
    running = []
    for member in fleet.members:
        for n in range(3):
            member.lane.call("add", n, n)
        member.lane.send("raise_error").get(timeout=10, propagate=False)
        running.append(member.runs())
    wanted = {"active": 1, "processed": 5, "failed": 1, "succeeded": 3}

    def grown():
        now = figures()
        return now and all(figure(now[node][name]) - figure(before[node][name]) == by
                           for node in nodes for name, by in wanted.items()) and now

    now = pages.shows(grown, "five tasks more of each worker")
    for row in now.values():
        assert row["status"] == "Online"
        assert len(re.findall(r"\d+(\.\d+)?", row["load"])) == 3, row
    total = {name: sum(figure(row[name]) for row in now.values()) for name in wanted}
    cards = {"online": 3, **{name: total[name] for name in ("active", "succeeded", "failed")}}
    shown = {name: figure(pages.window.locator(f"#workers-{name}").inner_text()) for name in cards}
    assert shown == cards
    screenshot(pages.window, "flower-workers")
    for member, result in zip(fleet.members, running):
        member.end(result)


@pytest.fixture
def busy(fleet):
    """Twins that each have two tasks running, one reserved, one scheduled, one revoked."""
    states = {}
    for member in fleet.twins:
        running = member.occupied()
        revoked = member.lane.send("identity", 0)
        member.app.control.revoke(revoked.id, destination=[member.node])
        reserved = member.lane.send("identity", 1)
        scheduled = member.lane.apply("add", [1, 2], countdown=600)
        until(lambda: member.lane.waiting() == 0, "the worker has taken all")
        states[member] = (running, reserved, scheduled, revoked)
    yield states
    for member, (running, *_, scheduled, _) in states.items():
        member.app.control.revoke(scheduled.id)
        member.end(*running)


def test_the_tabs_are_filled_as_for_python(pages, fleet, busy):
    python, rust = fleet.twins

    def tab(name, caption, member, column=0):
        rows = pages.worker(member, name).table(caption)
        return [row[column] for row in rows]

    for name, caption in [("pool", "Worker pool options"), ("broker", "Broker options"),
                          ("system", "System usage statistics"), ("other", "Other statistics")]:
        theirs, ours = (tab(name, caption, member) for member in fleet.twins)
        assert ours == theirs and ours, caption
        assert "" not in tab(name, caption, rust, 1)

    theirs, ours = (tab("config", "Configuration options", each) for each in fleet.twins)
    assert set(ours) - SHOWN_SETTINGS == set(theirs) - PYTHON_SETTINGS

    theirs, ours = (tab("limits", "Task limits", each) for each in fleet.twins)
    assert "t.integration.tasks.add" in ours and set(theirs) <= set(ours)

    theirs, ours = (pages.worker(each, "queues").table("Active queues") for each in fleet.twins)
    assert ours == [[text.replace(python.lane.queue, rust.lane.queue) for text in row]
                    for row in theirs]
    pages.worker(rust, "pool")
    screenshot(pages.window, "flower-worker")


def test_the_tasks_of_a_worker_are_listed_as_for_python(pages, fleet, busy):
    captions = ["Active tasks", "Scheduled tasks", "Reserved tasks", "Revoked tasks"]

    def listed(member):
        running, reserved, scheduled, revoked = busy[member]
        names = {running[0].id: "<first>", running[1].id: "<second>", reserved.id: "<reserved>",
                 scheduled.id: "<scheduled>", revoked.id: "<revoked>"}
        pages.worker(member, "tasks")

        def known(caption):
            """Rows without ids; what is left from other tests is not shown."""
            ids = lambda row: [names[id] for id in names if any(id in cell for cell in row)]
            return {
                ids(row)[0]: [re.sub(r"^\d+$", "<pid>", cell) for cell in row if not ids([cell])]
                for row in pages.table(caption) if ids(row)
            }

        pages.shows_at_last(lambda: known("Reserved tasks"), "the task that waits")
        assert dict(pages.table("Processed tasks"))["t.integration.tasks.sleeping"] != "0"
        return {caption: known(caption) for caption in captions}

    theirs, ours = map(listed, fleet.twins)
    # Python keeps what is revoked until its turn comes.
    del theirs["Reserved tasks"]["<revoked>"]
    assert ours == theirs
    assert [set(ours[caption]) for caption in captions] == [
        {"<first>", "<second>"}, {"<scheduled>"}, {"<reserved>"}, {"<revoked>"}]


def test_the_pool_grows_and_shrinks(pages, fleet):
    said = []
    for member in fleet.twins:
        pages.worker(member, "pool")

        def size():
            options = dict(pages.table("Worker pool options"))
            # Python goes on telling its first limit.
            processes = len(options["Processes"].split(","))
            return processes if member is fleet.python else int(options["Max concurrency"])

        assert size() == 2
        pages.window.fill("#pool-size", "2")
        texts = [pages.press("#worker-pool-grow")]
        pages.shows_at_last(lambda: size() == 4, "the pool grown")
        pages.window.fill("#pool-size", "2")
        texts.append(pages.press("#worker-pool-shrink"))
        pages.shows_at_last(lambda: size() == 2, "the pool shrunk")
        said.append([text.replace(member.node, "NODE") for text in texts])
    assert said[1] == said[0]


def test_the_range_of_a_pool_is_set(pages, fleet):
    pages.worker(fleet.scaled, "pool")
    pages.window.fill("#min-autoscale", "2")
    pages.window.fill("#max-autoscale", "4")
    said = pages.press("#worker-pool-autoscale")
    assert said == f"Autoscaling '{fleet.scaled.node}' worker (min=2, max=4)"

    def ranged():
        options = dict(pages.table("Autoscaler options"))
        return (options["Min"], options["Max"]) == ("2", "4")

    pages.shows_at_last(ranged, "the range")


def test_a_queue_is_added_and_cancelled(pages, fleet):
    said = []
    for member in fleet.twins:
        queue = f"{member.lane.queue}-more"
        pages.worker(member, "queues")
        names = lambda: [row[0] for row in pages.table("Active queues")]
        pages.window.fill("#add-consumer-name", queue)
        texts = [pages.press("#worker-add-consumer")]
        pages.shows_at_last(lambda: queue in names(), "the queue")
        assert member.lane.apply("add", (1, 1), queue=queue).get(timeout=10) == 2
        texts.append(pages.press(f"#worker-cancel-consumer-{queue}"))
        pages.shows_at_last(lambda: queue not in names(), "the queue gone")
        said.append([text.replace(queue, "QUEUE") for text in texts])
    assert said[1] == said[0]


def limits(pages, task):
    return pages.window.locator("#limits-table tr").filter(
        has=pages.window.locator("td:first-child", has_text=re.compile(rf"^{re.escape(task)}(\s|$)")))


def test_the_rate_of_a_task_is_limited(pages, fleet):
    said = []
    task = "t.integration.tasks.chain_add"
    for member in fleet.twins:
        row = limits(pages.worker(member, "limits"), task)
        row.get_by_label(f"Rate limit for {task}").fill("7")
        said.append(pages.press(row.locator("[id^=task-rate-limit]")))
        pages.shows_at_last(lambda: "[rate_limit=7]" in limits(pages, task).inner_text(), "the rate")
    assert said[1] == said[0]


def test_the_time_of_a_task_is_limited(pages, fleet):
    task = "t.integration.tasks.sleeping"
    said = []
    for member in fleet.twins:
        texts = []
        for limit, seconds in [("soft", "50"), ("hard", "1")]:
            row = limits(pages.worker(member, "limits"), task)
            row.get_by_label(f"Timeout for {task}").fill(seconds)
            texts.append(pages.press(row.locator(f"[id^=task-timeout-{limit}]")))
        said.append(texts)
    assert said[1] == said[0]
    # Python's processes keep the limits that they were started with.
    late = fleet.rust.lane.send("sleeping", 600)
    assert "TimeLimitExceeded" in repr(late.get(timeout=10, propagate=False))
    for member in fleet.twins:
        member.app.control.time_limit(task, destination=[member.node], reply=True,
                                      timeout=5)


def test_a_task_is_revoked_and_another_terminated(pages, fleet):
    said = []
    for member in fleet.twins:
        running, other = member.occupied()
        waiting = member.lane.send("identity", 1)
        state = lambda: pages.fields()["Status"]

        pages.open("/workers")
        fleet.flower.shows(lambda: fleet.flower.task(waiting), "Flower knows the task")
        pages.open(f"/task/{waiting.id}")
        assert state() == "RECEIVED"
        texts = [pages.press("#task-revoke")]

        pages.open(f"/task/{running.id}")
        assert state() == "STARTED"
        texts.append(pages.press("#task-terminate"))
        pages.shows_at_last(lambda: state() == "REVOKED", "the task revoked")

        member.end(other)
        pages.open(f"/task/{waiting.id}")
        pages.shows_at_last(lambda: state() == "REVOKED", "the other revoked")
        said.append([text.replace(running.id, "ID").replace(waiting.id, "ID") for text in texts])
    assert said[1] == said[0]


def test_the_list_of_tasks(pages, fleet):
    sent = {}
    for member in fleet.members:
        sent[member] = {
            "SUCCESS": member.lane.send("add", 20, 22),
            "FAILURE": member.lane.send("fail", "no"),
            "STARTED": member.runs(),
            "RECEIVED": member.lane.apply("add", (1, 1), countdown=600),
        }
    pages.open("/tasks")

    def complete():
        pages.window.reload()
        pages.window.locator("#tasks-table tbody a").first.wait_for()
        shown = {row[1]: row for row in pages.rows("#tasks-table")}
        return all(shown.get(result.id, [None] * 3)[2] == state
                   for results in sent.values() for state, result in results.items()) and shown

    shown = pages.shows(complete, "every task in its state")
    for member, results in sent.items():
        for state, result in results.items():
            name, _, _, received, runtime, worker = shown[result.id]
            assert name.startswith("t.integration.tasks.") and worker == member.node
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", received)
            assert bool(runtime) == (state == "SUCCESS"), (state, runtime)
    screenshot(pages.window, "flower-tasks")
    for member, results in sent.items():
        member.app.control.revoke(results["RECEIVED"].id)
        member.end(results["STARTED"])


def test_the_page_of_a_task_has_the_same_fields(pages, fleet):
    def fields(member, name, *args):
        result = member.lane.send(name, *args)
        result.get(timeout=10, propagate=False)
        ended = lambda: fleet.flower.task(result)["state"] in ("SUCCESS", "FAILURE")
        fleet.flower.shows(ended, "Flower knows how it ended")
        shown = pages.open(f"/task/{result.id}").fields()
        assert shown["Worker"] == member.node and result.id in shown["UUID"]
        shown["Traceback"] = bool(shown.get("Traceback"))
        own = {"UUID", "Worker", "Root", "Root id", "Clock"}
        return {name: re.sub(r"\d[\d.]*", "0", str(text)) if name not in own else "own"
                for name, text in shown.items()}

    for name, args in [("add", (20, 22)), ("fail", ("no",))]:
        theirs, ours = (fields(member, name, *args) for member in fleet.twins)
        assert ours == theirs
