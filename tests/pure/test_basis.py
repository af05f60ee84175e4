"""By what an answer is told to be of these pods, and which labels were seen to come."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.damage import FOREIGN, GONE, paths, put

from airflow_provider_llmserve.readiness.basis import basis_of
from airflow_provider_llmserve.readiness.labels_seen import seen_after
from airflow_provider_llmserve.readiness.observed import LabelsSeen

POD: dict[str, Any] = {
    "metadata": {"uid": "u", "labels": {"a": "1"}},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-25T12:00:00Z"}],
        "containerStatuses": [{"name": "s", "restartCount": 0, "containerID": "c", "state": {"running": {"startedAt": "t"}}}],
    },
}
OTHER = {**POD, "metadata": {"uid": "v"}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "uid"), "v"),
        (("status", "conditions", 0, "lastTransitionTime"), "2026-11-25T12:00:01Z"),
        (("status", "containerStatuses", 0, "restartCount"), 1),
        (("status", "containerStatuses", 0, "containerID"), "d"),
        (("status", "containerStatuses", 0, "state", "running", "startedAt"), "u"),
    ],
)
def test_whatever_makes_another_run_of_a_pod_makes_another_basis(path: Any, value: Any) -> None:
    assert basis_of([put(POD, path, value)]) != basis_of([POD])


def test_neither_order_nor_what_does_not_matter_makes_another() -> None:
    labelled = put(POD, ("metadata", "labels"), {"a": "2"})
    assert basis_of([POD, OTHER]) == basis_of([OTHER, copy.deepcopy(POD)]) == basis_of([OTHER, labelled])
    assert basis_of([POD]) != basis_of([POD, OTHER])
    assert basis_of([POD], "x") != basis_of([POD])


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"uid": "u", "labels": labels}}


@pytest.mark.parametrize(
    ("seen", "gained", "changed"),
    [
        ([labelled(a="1")], "", ""),
        ([labelled(), labelled(a="1")], "a", ""),
        ([labelled(a="1"), labelled(a="2")], "", "a"),
        ([labelled(a="1"), labelled(), labelled(a="2")], "a", ""),
        ([labelled(a="1"), labelled(a="2"), labelled(), labelled(a="2")], "a", ""),
        ([labelled(), labelled(a="1"), labelled(a="2")], "", "a"),
        ([labelled(), labelled(a="1"), labelled()], "", ""),
        ([labelled(), labelled(a="1"), labelled(a="1", b="1")], "ab", ""),
    ],
)
def test_which_labels_came_while_we_looked(seen: list[dict[str, Any]], gained: str, changed: str) -> None:
    known = LabelsSeen()
    for before, after in zip([None, *seen], seen, strict=False):
        known = seen_after(known, before, after)
    assert known == LabelsSeen(frozenset(("u", k) for k in gained), frozenset(("u", k) for k in changed))


@given(st.sampled_from(list(paths(POD))), st.sampled_from([GONE, *FOREIGN]))
def test_nothing_breaks_it(path: Any, value: Any) -> None:
    damaged = put(POD, path, value)
    basis_of([damaged, POD])
    seen_after(LabelsSeen(), damaged, POD)
    seen_after(LabelsSeen(), POD, damaged)
