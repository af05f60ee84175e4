"""The rules of every runtime, over every runtime: is the object there, is it ours, and is a deleted one gone?"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.state import Verdict
from airflow_provider_llmserve.runtimes import runtimes_of
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KINDS, HuggingFaceServe, ServeSpec

APPLIED = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
EVERY_RUNTIME = pytest.mark.parametrize("runtime", runtimes_of(), ids=lambda r: r.NAME)


def spec_for(runtime: Runtime, **fields: Any) -> ServeSpec:
    kind = "kubeai-text" if runtime.NAME == "kubeai" else "huggingfaceserve"
    of_runtime = {"runtime": runtime.NAME} if kind == HuggingFaceServe.kind else {}
    return KINDS[kind].parse({"url" if kind == "kubeai-text" else "path": "hf://org/m", **of_runtime, **fields})


def manifest(runtime: Runtime, **fields: Any) -> dict[str, Any]:
    return runtime.render(
        spec_for(runtime, **fields), name="m", namespace="ns", stopped=False, settings=Settings(platform="kubernetes")
    )[0]


def stored(thing: dict[str, Any], uid: str = "u1", **metadata: Any) -> dict[str, Any]:
    live = copy.deepcopy(thing)
    live["metadata"].update({"uid": uid, "generation": 1, **metadata})
    return live


def judged(
    runtime: Runtime, live: dict[str, Any] | None, *others: Any, waited: float = 60, seen: bool = True, **expected: Any
) -> Verdict:
    asked = Expected(**{"manifest": manifest(runtime), "applied_at": APPLIED, "uid": "u1", **expected})
    kinds = frozenset({runtime.PRIMARY.kind, "Pod", "Deployment", "ReplicaSet"}) if seen else frozenset[str]()
    objects = (*([live] if live is not None else []), *others)
    return runtime.assess(asked, Observed(objects, kinds), APPLIED + timedelta(seconds=waited))


def said(found: Verdict) -> tuple[str, str]:
    return found.state.value, found.reason


@EVERY_RUNTIME
@pytest.mark.parametrize(
    ("waited", "seen", "expected"),
    [
        (1, True, ("progressing", "not_applied")),
        (60, False, ("progressing", "not_applied")),
        (60, True, ("gone", "disappeared")),
    ],
)
def test_what_is_not_there(runtime: Runtime, waited: float, seen: bool, expected: tuple[str, str]) -> None:
    assert said(judged(runtime, None, waited=waited, seen=seen)) == expected


@EVERY_RUNTIME
def test_what_was_made_anew_is_somebody_elses(runtime: Runtime) -> None:
    found = judged(runtime, stored(manifest(runtime), "u2", deletionTimestamp="2026-11-25T12:00:30Z"))
    assert said(found) == ("superseded", "superseded")
    assert "made anew" in found.summary
    assert said(judged(runtime, stored(manifest(runtime), "u2"), uid="")) != ("superseded", "superseded"), "uid not known"


@EVERY_RUNTIME
def test_what_somebody_deletes(runtime: Runtime) -> None:
    found = judged(runtime, stored(manifest(runtime), deletionTimestamp="2026-11-25T12:00:30Z"))
    assert said(found) == ("deleting", "disappeared")
    assert "2026-11-25T12:00:30Z" in found.summary


@EVERY_RUNTIME
def test_what_another_writer_changed(runtime: Runtime) -> None:
    theirs = manifest(runtime, image="registry/other:1")
    found = judged(runtime, stored(theirs), before=manifest(runtime, image="registry/before:1"), waited=5)
    assert said(found) == ("superseded", "superseded")
    assert "another writer changed spec." in found.summary
    assert found.evidence[0].object == f"{runtime.PRIMARY.kind} m"


@EVERY_RUNTIME
def test_a_list_that_lags_behind_our_write_is_no_other_writer(runtime: Runtime) -> None:
    before = manifest(runtime, image="registry/before:1")
    live = stored(before)
    ours = {"manifest": manifest(runtime, image="registry/ours:1"), "before": before}
    assert said(judged(runtime, live, waited=5, **ours)) == ("progressing", "not_applied")
    assert said(judged(runtime, live, waited=11, **ours)) == ("superseded", "superseded")


@EVERY_RUNTIME
def test_a_deletion_is_over_when_neither_object_nor_pod_is_left(runtime: Runtime) -> None:
    def deletion(live: dict[str, Any] | None, *pods: Any, **options: Any) -> Verdict:
        return judged(runtime, live, *pods, present=False, **options)

    marked = {"deletionTimestamp": "2026-11-25T12:00:00Z"}
    owner = {"kind": "Model", "name": "m", "uid": "u1", "apiVersion": "kubeai.org/v1"}
    labels = {"app.kubernetes.io/instance": "m", "serving.kserve.io/inferenceservice": "m"}
    pod = {"kind": "Pod", "metadata": {"name": "p", "labels": labels, "ownerReferences": [owner]}, "status": {"phase": "Running"}}
    whole = stored(manifest(runtime))

    assert "not marked for deletion" in deletion(whole).summary
    assert said(deletion(stored(whole, **marked))) == ("deleting", "deleting")
    assert said(deletion(stored(whole, **marked, finalizers=["orphan", "foregroundDeletion"]), waited=300)) == (
        "deleting", "deleting",
    )  # fmt: skip
    assert "1 of its pods still run: p" in deletion(None, pod).summary
    assert said(deletion(None, pod)) == ("deleting", "deleting")
    assert said(deletion(None, seen=False)) == ("deleting", "deleting")
    assert said(deletion(None)) == ("gone", "gone")
    assert said(deletion(stored(whole, "u2"))) == ("gone", "gone"), "a newer one is not ours to wait for"
    assert said(deletion(stored(whole, "u2"), pod)) == ("deleting", "deleting"), "and our pods are ours beside it"


@pytest.mark.parametrize("runtime", runtimes_of("huggingfaceserve"), ids=lambda r: r.NAME)
def test_a_finalizer_that_holds_for_a_minute_is_stuck(runtime: Runtime) -> None:
    """KubeAI's own is told by its causes (``kubeai.deleting``), not by a clock."""
    held = stored(manifest(runtime), deletionTimestamp="2026-11-25T12:00:00Z", finalizers=["example.com/keep"])
    assert said(judged(runtime, held, present=False, waited=30)) == ("deleting", "deleting")
    found = judged(runtime, held, present=False, waited=61)
    assert said(found) == ("deleting", "finalizer_stuck")
    assert found.evidence[0].value == "example.com/keep"
