"""Machines whose clocks are hours apart."""

from support.clocks import needs_faketime, off_by
from support.waiting import until


@needs_faketime
def test_clocks_that_differ_double_nothing(site, work, report):
    settings = {"broker_transport_options": {"visibility_timeout": 5, "worker_lease": 2}}
    for hours in (-2, 0, 2):
        site.worker(settings=settings, environment=off_by(hours) if hours else None)
    # They run for longer than the visibility timeout.
    work.long_tasks(9, 7)
    until(lambda: site.left()[1] >= 9, "all are held")
    work.tasks(200)
    work.chains(10)
    work.chords(5)
    site.rest()
    assert site.verdict() == {}
    report("clocks four hours apart", f"{len(site.expected)} runs, 0 lost, 0 doubled")
