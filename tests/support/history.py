"""Recorded histories as fixtures: ``tests/pure/cases/{kubeai,deployment,kserve}/*.jsonl.gz``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from airflow_provider_llmserve.readiness.observed import Expected, Object, Observed
from airflow_provider_llmserve.replay import judge as judging
from airflow_provider_llmserve.replay.__main__ import histories
from airflow_provider_llmserve.replay.history import History

CASES = Path(__file__).resolve().parent.parent / "pure" / "cases"
CAUSES = judging.read_causes(CASES / "causes.json")
judge = partial(judging.judge, causes=CAUSES)
"""The judge with the vocabulary of our recordings."""


def recorded() -> list[str]:
    """The names of all recorded histories: ``kubeai/create-oom``."""
    return [f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}" for path in histories(CASES) if path.parent != CASES]


@cache
def load(name: str) -> History:
    """A history by name."""
    return History.read(CASES / f"{name}.jsonl.gz")


def seen_at(name: str, t: float) -> tuple[Expected, Observed, datetime]:
    """What ``assess`` is given at second ``t`` of a history."""
    history = load(name)
    (_, observed), *_ = history.snapshots([t])
    return history.expected(), observed, history.now(t)


def objects_of(kind: str) -> Iterator[tuple[str, float, Object]]:
    """Every recorded state of every object of a kind: history, second, object."""
    for name in recorded():
        for line in load(name).lines:
            if "event" in line and line["object"].get("kind") == kind:
                yield name, line["t"], line["object"]
