"""Four hundred generated histories beyond those of the pure tier (``tests/pure/test_worlds.py``)."""

from __future__ import annotations

import pytest
from support.worlds.run import faults, run


@pytest.mark.machine
@pytest.mark.parametrize("first", range(100, 500, 100))
def test_no_verdict_is_false(first: int) -> None:
    found = {seed: list(faults(run(seed))) for seed in range(first, first + 100)}
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}
