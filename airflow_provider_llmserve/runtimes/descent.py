"""Where a pod comes from, told by who made it. Pure.

A label says nothing of that: anybody may give a pod the label that a controller selects by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, labels_of, text


def owner_references(thing: Mapping[str, Any], group: str, kind: str) -> list[Mapping[str, Any]]:
    """Its owner references to objects of that kind."""
    refs = items(thing, "metadata", "ownerReferences")
    return [r for r in refs if (text(r, "apiVersion").rpartition("/")[0], text(r, "kind")) == (group, kind)]


def of_deployment(pod: Mapping[str, Any], stem: str) -> bool:
    """Whether a Deployment of that very name made the pod: its ReplicaSets are called ``<Deployment>-<pod-template-hash>``
    (k8s.io/kubernetes, pkg/controller/deployment/sync.go)."""
    digest = text(labels_of(pod), "pod-template-hash")
    made_by = {text(r, "name") for r in owner_references(pod, "apps", "ReplicaSet") if r.get("controller")}
    return bool(digest) and f"{stem}-{digest}" in made_by
