"""Marks and managers on recorded objects: put there by the reader, from what was asked and what was made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.history import judge, load, recorded, seen_at

from airflow_provider_llmserve.readiness.fields import items, name_of
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.replay.judge import says_reached
from airflow_provider_llmserve.runtimes.kubeai.view import SERVER
from airflow_provider_llmserve.runtimes.managers import theirs
from airflow_provider_llmserve.runtimes.mark import annotated, in_environment

CHANGED = [n for n in recorded() if len([v for v in load(n).stamps.versions if v.requested]) > 1]
"""Histories in which a standing object was changed."""


def marks(observed: Observed) -> dict[str, str]:
    """Mark of each pod."""
    return {name_of(p): in_environment(p, SERVER) or annotated(p, "metadata") for p in observed.of("Pod")}


@pytest.mark.parametrize("name", recorded())
def test_without_the_stamps_nothing_is_ready(name: str) -> None:
    """The marks come from the reader alone, so each Ready of each history rests on them."""
    bare = replace(load(name), marked=False)
    ready = [m.verdict.reason for m in judge(bare, times=bare.times(every=5.0, apart=0.5)).moments if m.verdict.state == "ready"]
    assert ready == []


@pytest.mark.parametrize(
    ("name", "t", "ours"),
    [
        ("deployment/update-good", 20, 1),
        ("deployment/no-op-apply", 5, 1),
        ("deployment/update-controller-behind", 5, 0),
        ("deployment/rollback-during-stuck-rollout", 12, 1),
        ("deployment/scale-up-down", 5, 3),
        ("kserve/update-good", 14, 1),
        ("kserve/update-leader-gone", 5, 0),
        ("kserve/annotation-only-change", 15, 1),
        ("kserve/auto-update-disabled", 15, 0),
        ("kubeai/update-good", 14, 1),
        ("kubeai/noop-apply", 17, 1),
        ("kubeai/adapter-added-hot", 14, 1),
        ("kubeai/adapter-first-rollout", 15, 1),
        ("kubeai/files-changed-not-rolled", 27, 0),
        ("kubeai/manager-down-update", 27, 0),
        ("kubeai/rollback-stuck-rollout", 27, 1),
        ("kubeai/scale-3-to-1", 11, 1),
    ],
)
def test_which_pods_carry_the_mark_of_the_last_request(name: str, t: float, ours: int) -> None:
    expected, observed, _ = seen_at(name, t)
    assert expected.mark
    assert list(marks(observed).values()).count(expected.mark) == ours


@pytest.mark.parametrize("name", CHANGED)
def test_a_pod_from_before_a_change_of_what_makes_it_never_carries_its_mark(name: str) -> None:
    history = load(name)
    expected = history.expected()
    (_, before), *_ = history.snapshots([history.asked_at])
    old = marks(before)
    if expected.mark in old.values():
        return  # nothing that makes a pod was changed
    for _, observed in history.snapshots(history.times(every=5.0, apart=0.1)):
        assert [n for n, mark in marks(observed).items() if n in old and mark == expected.mark] == []


@pytest.mark.parametrize(
    ("name", "t", "field"),
    [
        ("deployment/another-writer-mid-rollout", 19, "spec.template.spec.containers[server].args"),
        ("kserve/another-writer", 14, "spec.predictor.annotations.llmserve.example.com/deploy"),
        ("kubeai/superseded-mid-rollout", 34, "spec.image"),
    ],
)
def test_another_writers_fields_are_its_own_and_our_mark_stays(name: str, t: float, field: str) -> None:
    expected, observed, _ = seen_at(name, t)
    live: Any = observed.get(load(name).kind, name_of(expected.manifest))
    assert field in [path for path, who in theirs(live, (("spec",),)) if who == "another-writer"]
    assert theirs(expected.manifest, (("spec",),)) == []


@pytest.mark.parametrize("name", [n for n in recorded() if not any(x in n for x in ("another-writer", "superseded"))])
def test_where_nobody_else_wrote_every_field_is_ours(name: str) -> None:
    history = load(name)
    for _, observed in history.snapshots(history.times(every=5.0, apart=0.5)):
        live = observed.get(history.kind, name_of(history.want))
        assert live is None or theirs(live, (("spec",),)) == []
        assert live is None or items(live, "metadata", "managedFields")


def test_what_was_reached_with_stamps_is_reached() -> None:
    """So that the test above does not pass for want of Ready."""
    history = load("deployment/update-good")
    assert any(says_reached(history, m.verdict) for m in judge(history, times=history.times(every=5.0, apart=0.5)).moments)
