"""Which pods come from a serving run: by who made them, never by a label alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.runtimes import runtime

OURS = {"app.kubernetes.io/managed-by": "airflow-llmserve"}
NAMES = ("kubeai", "deployment", "inferenceservice")


def by(kind: str, name: str, *, api: str = "apps/v1", uid: str = "u", controller: bool = True) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": controller}


def pod(labels: dict[str, str], *owners: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p", "labels": labels, "ownerReferences": list(owners)}}


def replica_set(name: str, labels: dict[str, str], digest: str = "5d65df6cd") -> dict[str, Any]:
    return pod({**labels, "pod-template-hash": digest}, by("ReplicaSet", f"{name}-{digest}"))


MODEL = {"api": "kubeai.org/v1", "uid": "m1"}
ISVC = {"serving.kserve.io/inferenceservice": "chat"}
REVISION = {**ISVC, "serving.knative.dev/revision": "chat-predictor-00002"}
CASES = [
    ("kubeai", pod({"model": "chat"}, by("Model", "chat", **MODEL)), True),
    ("kubeai", pod({"model": "chat"}, by("Model", "chat", api="kubeai.org/v1", uid="of-another-model-of-the-name")), False),
    ("kubeai", pod({"model": "chat"}, by("Model", "chat-2", **MODEL)), False),
    ("kubeai", pod({"model": "chat"}, by("Model", "chat", api="other.org/v1", uid="m1")), False),
    ("kubeai", replica_set("chat-ui", {"model": "chat"}), False),
    ("kubeai", replica_set("chat", {"model": "chat"}), False),
    ("kubeai", pod({"model": "chat"}, by("Job", "load-cache-chat", api="batch/v1")), False),
    ("kubeai", pod({"model": "chat"}), False),
    ("deployment", replica_set("chat", OURS), True),
    ("deployment", replica_set("chat", {}), False),
    ("deployment", replica_set("chat-ui", OURS), False),
    ("deployment", replica_set("cha", OURS, "t-5d65df6cd"), False),
    ("deployment", pod({**OURS, "pod-template-hash": "1"}, by("ReplicaSet", "chat-1", controller=False)), False),
    ("deployment", pod({**OURS, "pod-template-hash": "1"}, by("StatefulSet", "chat-1")), False),
    ("deployment", pod(OURS, by("ReplicaSet", "chat-")), False),
    ("deployment", pod(OURS), False),
    ("inferenceservice", replica_set("chat-predictor", ISVC), True),
    ("inferenceservice", replica_set("chat-predictor", {}), False),
    ("inferenceservice", replica_set("chat-ui", ISVC), False),
    ("inferenceservice", replica_set("chat-transformer", ISVC), False),
    ("inferenceservice", replica_set("chat-predictor-00002-deployment", REVISION), True),
    ("inferenceservice", replica_set("other-00002-deployment", {**ISVC, "serving.knative.dev/revision": "other-00002"}), False),
    ("inferenceservice", replica_set("chat-predictor", {"serving.kserve.io/inferenceservice": "other"}), False),
]


@pytest.mark.parametrize(("name", "live", "ours"), CASES)
def test_a_pod_descends_from_the_run_or_does_not(name: str, live: dict[str, Any], ours: bool) -> None:
    assert runtime(name).descends(live, name="chat", uid="m1") is ours
    if ours:
        assert runtime(name).descends(live, name="chat", uid=""), "by name alone, too"


keys = st.sampled_from(["metadata", "labels", "ownerReferences", "kind", "name", "apiVersion", "uid", "pod-template-hash"])
junk = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3), lambda x: st.lists(x, max_size=2) | st.dictionaries(keys, x, max_size=3)
)


@given(junk, st.sampled_from(NAMES))
def test_junk_descends_from_nothing(live: Any, name: str) -> None:
    assert runtime(name).descends({"metadata": live}, name="chat", uid="") is False
