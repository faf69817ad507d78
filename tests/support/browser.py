"""Debian's Chromium, driven by Playwright."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path


def chromium():
    """The browser's program: `CELERIAC_CHROMIUM`, or the one on the PATH."""
    named = os.environ.get("CELERIAC_CHROMIUM") or shutil.which("chromium")
    if not named or not Path(named).exists():
        raise FileNotFoundError(
            "no Chromium: apt-get install chromium, or name one with CELERIAC_CHROMIUM")
    return named


@contextmanager
def browsing():
    """A window of a browser of its own."""
    from playwright.sync_api import sync_playwright  # Here, as most tests need none.

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        try:
            yield browser.new_page(viewport={"width": 1320, "height": 640})
        finally:
            browser.close()


def screenshot(page, name):
    """Keeps what the page shows, if `CELERIAC_SCREENSHOTS` says where."""
    directory = os.environ.get("CELERIAC_SCREENSHOTS")
    if directory:
        page.screenshot(path=Path(directory) / f"{name}.png", animations="disabled")
