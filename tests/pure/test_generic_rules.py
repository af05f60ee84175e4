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
    stored_ours = stored(manifest(runtime))
    asked = Expected(
        **{"manifest": stored_ours, "applied_at": APPLIED, "mark": runtime.mark_in(stored_ours), "uid": "u1", **expected}
    )
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


PART = {
    "kubeai": ("f:spec",),
    "deployment": ("f:spec", "f:template", "f:spec"),
    "inferenceservice": ("f:spec", "f:predictor", "f:model"),
}


def tree(runtime: Runtime, *fields: str) -> dict[str, Any]:
    inner: dict[str, Any] = {key: {} for key in fields}
    for step in reversed(PART[runtime.NAME]):
        inner = {step: inner}
    return inner


def book(runtime: Runtime, *ours: str, **others: str) -> dict[str, Any]:
    """managedFields: our fields in the part that makes a pod, and those of other managers."""
    mine = {"manager": "airflow-llmserve", "operation": "Apply", "fieldsV1": tree(runtime, *ours)}
    theirs = ({"manager": who, "operation": "Update", "fieldsV1": tree(runtime, field)} for who, field in others.items())
    return {"managedFields": [mine, *theirs]}


@EVERY_RUNTIME
@pytest.mark.parametrize(
    ("ours", "others", "words"),
    [
        (("f:image",), {}, ""),
        ((), {"kubectl_set": "f:image"}, "image of"),
        (("f:image",), {"kubectl_edit": "f:command"}, "command of"),
        ((), {}, "image of"),
        (("f:image",), {"flux": "f:image"}, ""),
    ],
    ids=["nobody", "took a field", "added one", "took one out", "shares our value"],
)
def test_what_another_writer_changed(runtime: Runtime, ours: tuple[str, ...], others: dict[str, str], words: str) -> None:
    written = stored(manifest(runtime), **book(runtime, "f:image"))
    live = stored(manifest(runtime), **book(runtime, *ours, **others))
    found = judged(runtime, live, manifest=written)
    assert (said(found) == ("superseded", "superseded")) == bool(words)
    if words:
        assert "another writer changed spec." in found.summary
        assert words in found.summary
        assert found.evidence[0].object == f"{runtime.PRIMARY.kind} m"


@EVERY_RUNTIME
def test_a_list_that_lags_behind_our_write_is_no_other_writer(runtime: Runtime) -> None:
    before = stored(manifest(runtime, image="registry/before:1"), **book(runtime, kubectl="f:image"))
    ours = stored(manifest(runtime), generation=2)
    assert said(judged(runtime, before, manifest=ours)) == ("progressing", "not_applied")


@EVERY_RUNTIME
def test_a_record_without_a_mark_proves_nothing(runtime: Runtime) -> None:
    found = judged(runtime, stored(manifest(runtime)), mark="")
    assert said(found) == ("degraded", "unmarked")
    assert "Deploy it again" in found.advice


@EVERY_RUNTIME
def test_a_mark_that_is_not_on_the_object(runtime: Runtime) -> None:
    other = stored(manifest(runtime, image="registry/other:1"))
    ours = stored(manifest(runtime))
    assert said(judged(runtime, other)) == ("superseded", "superseded"), "it was there when we wrote"
    assert said(judged(runtime, other, manifest=other, mark=runtime.mark_in(ours))) == ("degraded", "mark_lost")


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
