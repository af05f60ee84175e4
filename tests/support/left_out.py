"""What a machine cannot run is left out, and one line says so; with LLMSERVE_NO_SKIPS=1 (CI) that is an error.

The line is told, and an empty run forgiven, by ``tests/conftest.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

LINES = pytest.StashKey[list[str]]()


def leave_out(config: pytest.Config, items: list[pytest.Item], fixture: str, why: Callable[[], str]) -> None:
    """Take the tests that need ``fixture`` out of ``items`` if ``why`` says that it cannot be had."""
    needing = [item for item in items if fixture in getattr(item, "fixturenames", ())]
    reason = why() if needing else ""
    if not reason:
        return
    line = f"{len(needing)} tests were left out: {reason}"
    if os.environ.get("LLMSERVE_NO_SKIPS") == "1":
        raise pytest.UsageError(line)
    items[:] = [item for item in items if item not in needing]
    config.hook.pytest_deselected(items=needing)
    config.stash.setdefault(LINES, []).append(line)
