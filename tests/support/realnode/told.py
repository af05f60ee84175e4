"""What a run of the node tier measured, for its end: it is told, not asserted."""

from __future__ import annotations

import pytest

TOLD = pytest.StashKey[list[str]]()
