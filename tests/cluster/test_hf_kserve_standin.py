"""The stand-in for KServe's controller makes what the recorded histories show that the real one makes."""

from __future__ import annotations

from typing import Any

import pytest
from support.cluster import Cluster
from support.hf import Namespace
from support.history import load
from support.kserve_controller import KServe, render, service
from support.kube import until

pytestmark = pytest.mark.cluster

RENDERED = (
    "create-ready",
    "update-nonce",
    "image-tag-rewritten",
    "storage-fails-then-recovers",
    "min-replicas-zero-none",
    "annotation-only-change",
    "engine-dead-default-probe",
    "stop-and-resume",
)
REFUSED = (
    "no-matching-runtime",
    "storage-scheme-unknown",
    "unknown-mode",
    "name-and-namespace-too-long",
    "knative-mode-without-knative",
)


def last(history: str, kind: str) -> dict[str, Any]:
    """The last recorded state of the object of a kind."""
    return [x["object"] for x in load(f"kserve/{history}").lines if "event" in x and x["object"]["kind"] == kind][-1]


def _less_defaults(recorded: Any, made: Any) -> Any:
    """The recorded object without what the API server fills in and the controller leaves out."""
    if isinstance(made, dict) and isinstance(recorded, dict):
        return {k: _less_defaults(recorded.get(k), v) for k, v in made.items()}
    if isinstance(made, list) and isinstance(recorded, list) and len(made) == len(recorded):
        return [_less_defaults(r, m) for r, m in zip(recorded, made, strict=True)]
    return recorded


@pytest.mark.parametrize("history", RENDERED)
def test_deployment_and_service_are_those_of_the_real_controller(history: str) -> None:
    isvc, deployment = last(history, "InferenceService"), last(history, "Deployment")
    made = render(isvc)
    assert made == _less_defaults(deployment, made)
    template = deployment["spec"]["template"]
    assert made["spec"]["template"]["metadata"]["annotations"] == template["metadata"]["annotations"], "nothing left out"
    assert len(made["spec"]["template"]["spec"]["containers"][0]["env"]) == len(template["spec"]["containers"][0]["env"])
    expected = service(isvc)
    del expected["metadata"]["annotations"]  # the real one writes them once and leaves them
    assert expected == _less_defaults(last(history, "Service"), expected)


def told(isvc: dict[str, Any]) -> tuple[Any, ...]:
    status = isvc.get("status") or {}
    conditions = sorted((c["type"], c["status"], c.get("reason")) for c in status.get("conditions") or ())
    model = status.get("modelStatus") or {}
    return conditions, model.get("transitionStatus") or "", (model.get("lastFailureInfo") or {}).get("reason")


@pytest.mark.parametrize("history", [*REFUSED, "create-ready"])
def test_status_ends_as_that_of_the_real_controller(cluster: Cluster, namespace: str, node: str, history: str) -> None:
    want = load(f"kserve/{history}").want
    name = want["metadata"]["name"] if history != "name-and-namespace-too-long" else "n" * 60
    predictor = {**want["spec"]["predictor"], "nodeSelector": {}}
    predictor["model"] = {**predictor["model"], "resources": {}}
    ns = Namespace(cluster, namespace)
    with KServe(cluster, namespace):
        metadata = {**want["metadata"], "name": name, "namespace": namespace}
        ns.create("inferenceservices", {**want, "metadata": metadata, "spec": {"predictor": predictor}})
        expected = told(last(history, "InferenceService"))
        until(f"status {expected}", lambda: told(ns.get("inferenceservices", name) or {}) == expected)
