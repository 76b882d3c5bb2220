"""A real browser, and reports in files for it to open.

Playwright drives the distribution's own Chromium; its download of another is not
used.
"""

import json
import os
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest
import reportdocs

from e820pool.cli import main

CHROMIUM = Path("/usr/bin/chromium")
MAP = Path(__file__).parents[1] / "data" / "maps" / "dmesg" / "020.txt"
# A dozen, far apart and close together; on top of RAM, so that there are findings.
DEPOSITS = ["4G+128M", *(f"{1100 + 7 * at}M+{8 * (at + 1)}K" for at in range(11))]


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    """Skip where there is none: CI turns that into a failure."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("Playwright is not installed: pip install e820pool[browser]")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: install the package chromium")
    # Its sandbox refuses to run as root, as containers do.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """Return the file of a report with every kind of chapter, the handoff first."""
    folder = tmp_path_factory.mktemp("report")
    words = [word for one in DEPOSITS for word in ("--deposit", one)]
    out = str(folder / "out")
    assert main(["build", str(MAP), *words, "--encoding", "overlaid", "-o", out]) == 0
    inputs = [out]
    for kind, make in reportdocs.ALL.items():
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(make()))
        inputs.append(str(path))
    page = folder / "report.html"
    assert main(["report", *inputs, "--kernel", "6.1,7.3", "-o", str(page)]) == 0
    return page


@pytest.fixture(scope="session")
def default_report(tmp_path_factory):
    """Return the file of a report as commands make it without options."""
    folder = tmp_path_factory.mktemp("default")
    out, page = str(folder / "out"), folder / "report.html"
    assert main(["build", str(MAP), "--deposit", DEPOSITS[0], "-o", out]) == 0
    matrix = folder / "matrix.json"
    words = ["--deposit", DEPOSITS[0], "--format", "json"]
    with matrix.open("w") as file, redirect_stdout(file):
        assert main(["compare", str(MAP), *words]) == 0
    assert main(["report", out, str(matrix), "-o", str(page)]) == 0
    return page


@pytest.fixture
def opened(browser, report):
    """Return a function that opens the report and holds that nothing goes wrong."""
    with opening(browser, report) as open_page:
        yield open_page


@pytest.fixture
def opened_default(browser, default_report):
    """Return the same for the report of a user's first commands."""
    with opening(browser, default_report) as open_page:
        yield open_page


@contextmanager
def opening(browser, report):
    complaints, contexts = [], []

    def open_page(width=1600, **options):
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(report.as_uri())
        # The page itself is the one thing that is fetched.
        assert complaints.pop(0) == report.as_uri()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
