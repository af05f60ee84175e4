"""What others do in a namespace is dropped at the door, and what is ours makes at most one verdict a second."""

from __future__ import annotations

from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_llmserve.platforms.kubernetes import verdicts
from airflow_provider_llmserve.platforms.kubernetes.reflector import _Collection
from airflow_provider_llmserve.readiness.events import events_about
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.runtimes import runtimes_of
from airflow_provider_llmserve.runtimes.kinds import EVENT, POD
from airflow_provider_llmserve.runtimes.parts import Watched


def event(name: str, kind: str = "Pod", *, field: str = "involvedObject") -> dict[str, Any]:
    return {"kind": "Event", "metadata": {"uid": f"e-{name}", "managedFields": [{}]}, field: {"kind": kind, "name": name}}


@pytest.mark.parametrize(
    ("runtime", "kept", "dropped"),
    [
        (
            "kubeai",
            ["m", "model-m-5c-x", "load-cache-m", "load-cache-m-x", "evict-cache-m-x"],
            ["m-2", "model-m2-x", "model", ""],
        ),
        ("deployment", ["m", "m-5c", "m-5c-x"], ["m2", "other-m-1", "n"]),
        ("inferenceservice", ["m", "m-predictor", "m-predictor-5c-x"], ["m2-predictor-x", "n"]),
    ],
)
def test_which_events_are_kept(runtime: str, kept: list[str], dropped: list[str]) -> None:
    module = next(r for r in runtimes_of() if runtime == r.NAME)
    (watched,) = (w for w in module.watched("m") if w.kind == EVENT)
    for field in ("involvedObject", "regarding"):
        assert [n for n in (*kept, *dropped) if watched.concerns(event(n, field=field))] == kept


@pytest.mark.parametrize("odd", [{}, {"involvedObject": 3}, {"involvedObject": {"name": None}}, {"regarding": []}])
def test_an_event_about_nothing_is_dropped(odd: Any) -> None:
    assert not Watched(EVENT, about=("m",)).concerns(odd)
    assert Watched(EVENT).concerns(odd)


def test_an_event_of_others_changes_nothing_and_is_not_kept() -> None:
    seen = _Collection(Watched(EVENT, about=("m", "m-")))
    assert not seen.take({"type": "ADDED", "object": event("other-1")})
    assert seen.take({"type": "ADDED", "object": event("m-1")})
    assert list(seen.objects) == ["e-m-1"]
    assert "managedFields" not in seen.objects["e-m-1"]["metadata"]
    pods = _Collection(Watched(POD))
    pods.take({"type": "ADDED", "object": {"kind": "Pod", "metadata": {"uid": "p", "managedFields": [{}]}}})
    assert pods.objects["p"]["metadata"]["managedFields"], "a rule reads when a label was set"


def test_events_are_found_by_what_they_are_about() -> None:
    observed = Observed((event("p"), event("q"), event("p", "Job"), event("p", field="regarding")))
    assert len(events_about(observed, {"kind": "Pod", "metadata": {"name": "p"}})) == 2
    assert len(events_about(observed.with_logs(), {"kind": "Job", "metadata": {"name": "p"}})) == 1


class Stormy:
    """A reflector in which something changes all the time."""

    def __init__(self, *_: Any) -> None: ...

    async def __aenter__(self) -> Stormy:
        return self

    async def __aexit__(self, *_: Any) -> None: ...

    async def changed(self, timeout: float) -> None: ...


async def test_a_storm_of_changes_makes_no_storm_of_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def look(*_: Any) -> Any:
        return verdict(State.PROGRESSING, "starting", "")

    monkeypatch.setattr(verdicts, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(verdicts, "Reflector", Stormy)
    monkeypatch.setattr(verdicts.Watcher, "_verdict", look)
    monkeypatch.setattr(verdicts.Watcher, "_clock", staticmethod(lambda: 7.0))
    monkeypatch.setattr(verdicts.Watcher, "watched", lambda _: [])
    watcher: Any = object.__new__(verdicts.Watcher)
    watcher._client, watcher._settings = None, SimpleNamespace(namespace="ns")
    async with aclosing(watcher.verdicts()) as said:
        for _ in range(4):
            await anext(said)
    assert slept == [verdicts.PAUSE] * 3, "a look that takes no time is followed by a pause, whatever changes"
