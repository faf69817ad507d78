"""A hook of pytest's: what the processes said during a test that failed."""

import pytest

from . import process


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    news = {child.name: child.news() for child in process.started}
    if outcome.get_result().failed:
        sections = outcome.get_result().sections
        sections += [(f"log of {name}", text) for name, text in news.items() if text]
