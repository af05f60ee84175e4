"""What is left of a run that is being deleted: nothing is gone while a pod of it stands, whoever of its owners went first."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.runtimes import runtime
from airflow_provider_llmserve.runtimes.remains import Remains

OURS = {"app.kubernetes.io/managed-by": "airflow-llmserve"}
ISVC = {"serving.kserve.io/inferenceservice": "bert"}
HASH = "86789b5d4c"


def thing(
    kind: str, name: str, uid: str, *, labels: Any = None, owner: tuple[str, str, str] | None = None, api: str = "apps/v1"
) -> Any:
    references = [{"apiVersion": api, "kind": owner[0], "name": owner[1], "uid": owner[2], "controller": True}] if owner else []
    return {"kind": kind, "metadata": {"name": name, "uid": uid, "labels": labels or {}, "ownerReferences": references}}


def chain(stem: str, labels: dict[str, str], root: tuple[str, str, str] | None) -> list[Any]:
    """A Deployment, its ReplicaSet and its pod, owners first."""
    labels = {**labels, "pod-template-hash": HASH}
    return [
        thing("Deployment", stem, "u-deployment", owner=root),
        thing("ReplicaSet", f"{stem}-{HASH}", "u-set", labels=labels, owner=("Deployment", stem, "u-deployment")),
        thing("Pod", f"{stem}-{HASH}-zmkr2", "u-pod", labels=labels, owner=("ReplicaSet", f"{stem}-{HASH}", "u-set")),
    ]


RUNS: dict[str, tuple[str, list[Any]]] = {
    "deployment": ("u-deployment", chain("bert", OURS, None)),
    "inferenceservice": (
        "u-isvc",
        [
            thing("InferenceService", "bert", "u-isvc"),
            *chain("bert-predictor", ISVC, ("InferenceService", "bert", "u-isvc")),
        ],
    ),
    "kubeai": (
        "u-model",
        [
            thing("Model", "bert", "u-model"),
            thing(
                "Pod", "model-bert-1", "u-pod", labels={"model": "bert"}, owner=("Model", "bert", "u-model"), api="kubeai.org/v1"
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_pod_counts_at_the_first_look_whichever_of_its_owners_is_gone(name: str) -> None:
    uid, (*owners, pod) = RUNS[name]
    for n in range(len(owners) + 1):
        for standing in combinations(owners, n):
            remains = Remains(runtime(name), "bert", uid)
            seen = Observed((*standing, pod))
            remains.look(seen)
            assert f"Pod {pod['metadata']['name']}" in remains.left(seen), [o["kind"] for o in standing]


@pytest.mark.parametrize("name", RUNS)
def test_what_makes_pods_counts_as_long_as_it_stands_and_nothing_is_left_in_the_end(name: str) -> None:
    uid, objects = RUNS[name]
    remains = Remains(runtime(name), "bert", uid)
    remains.look(Observed(tuple(objects)))
    for gone in range(1, len(objects)):
        assert remains.left(Observed(tuple(objects[gone:]))) == [f"{o['kind']} {o['metadata']['name']}" for o in objects[gone:]]
    assert remains.left(Observed(())) == []


@pytest.mark.parametrize("name", RUNS)
def test_a_newer_run_of_the_name_is_not_waited_for(name: str) -> None:
    _, objects = RUNS[name]
    remains = Remains(runtime(name), "bert", "u-older")
    seen = Observed(tuple(objects))
    remains.look(seen)
    assert remains.left(seen) == []


def test_a_strangers_pod_under_our_label_is_not_waited_for() -> None:
    theirs = thing("Pod", "chat-ui-1", "x", labels={**ISVC, "pod-template-hash": "1"}, owner=("ReplicaSet", "chat-ui-1", "y"))
    remains = Remains(runtime("inferenceservice"), "bert", "u-isvc")
    remains.look(Observed((theirs,)))
    assert remains.left(Observed((theirs,))) == []
