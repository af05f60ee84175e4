"""Every recorded history, judged at every moment: no false Ready, no false Failed, the recorded cause named."""

from __future__ import annotations

import pytest
from support.history import CAUSES, judge, load, recorded

from airflow_provider_llmserve.readiness.reasons import REASONS

NAMES = recorded()


def test_the_recordings_are_here() -> None:
    assert len(NAMES) >= 113


@pytest.mark.parametrize("name", NAMES)
def test_history(name: str) -> None:
    history = load(name)
    found = judge(history, times=history.times(every=5.0, apart=0.1))  # `make replay` looks at every line
    assert [f"{m.t}: {m.verdict.reason} while {m.truth}" for m in found.false_ready] == []
    assert [f"{m.t}: {m.verdict.reason} while {m.truth}" for m in found.false_failed] == []
    assert found.wrong_cause == []


def test_every_recorded_obstacle_has_words_and_they_exist() -> None:
    obstacles = {e.cause for n in NAMES for e in load(n).truth if e.state in ("failed", "degraded", "unmanaged", "superseded")}
    assert sorted(obstacles - set(CAUSES)) == []
    assert sorted({w for words in CAUSES.values() for w in words} - set(REASONS)) == []
