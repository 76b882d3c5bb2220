"""Settings and fixtures for the whole suite."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# How wide the terminal of whoever runs the suite is, changes no output of it.
os.environ.pop("COLUMNS", None)

# The plugin that the package has for others is tested in runs of its own.
pytest_plugins = ("pytester",)

# A shell that starts the suite in the background has it ignore ^C, and whatever it
# starts: tests are about programs that do not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same with the hangup, and a program keeps to that, rightly.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The suite says the same today and tomorrow; `make fuzz` is what searches.
settings.register_profile("dev", max_examples=40, deadline=None, derandomize=True)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search",
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
_USUAL = "ci" if os.environ.get("CI") else "dev"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", _USUAL))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a test that asks a program of another's making must not be skipped."""
    report = yield
    asked = {"lab", "headers", "browser", "extra"}
    needed = asked & {mark.name for mark in item.iter_markers()}
    if os.environ.get("CI") and needed and report.skipped and call.excinfo:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {call.excinfo.value}"
    return report
