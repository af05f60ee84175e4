"""Shared by all tests: Airflow gets a home of its own, before anything imports it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import Any

import pytest
from support.left_out import LINES

pytest.register_assert_rewrite("support.contract")

_home = tempfile.mkdtemp(prefix="llmserve-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Of pytest-xdist, in its controller, which has the terminal."""
    for line in getattr(node, "workeroutput", {}).get("left_out", ()):
        told = node.config.stash.setdefault(LINES, [])
        if line not in told:
            told.append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line, yellow=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """That nothing is left to run is no failure; a test that is skipped where LLMSERVE_NO_SKIPS=1 (CI) is one."""
    lines = session.config.stash.get(LINES, [])
    if lines and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = lines
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist; the controller sees all reports
        return
    skipped = [r.nodeid for r in reporter.stats.get("skipped", ()) if r.nodeid.startswith(("tests/cluster", "tests/node"))]
    if skipped and os.environ.get("LLMSERVE_NO_SKIPS") == "1":
        reporter.write_line(f"skipped although LLMSERVE_NO_SKIPS=1: {', '.join(sorted(set(skipped)))}", red=True)
        session.exitstatus = 1


from hypothesis import settings  # noqa: E402

# A deadline would be a timing assert: the suite must not turn red because a machine is busy. CI judges a change by the same
# examples every time; whoever runs the tests by hand looks at new ones.
settings.register_profile("llmserve", deadline=None, max_examples=50, derandomize=os.environ.get("CI") == "true")
settings.load_profile("llmserve")
