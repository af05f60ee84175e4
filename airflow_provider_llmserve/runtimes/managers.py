"""Whose a field is, by the API server's own book (``metadata.managedFields``). Pure.

What admission adds or rewrites in a request of ours has no manager of its own and stays ours; what anybody writes afterwards
moves to its writer (tried on Kubernetes 1.36). So a value that is not what we asked for, in a field that is still ours, is
the cluster's answer to our request, and no other writer's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, mapping, text
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.runtimes.record import FIELD_MANAGER

REPLICAS = "spec.replicas"
RESTARTED_AT = "f:kubectl.kubernetes.io/restartedAt"


def is_theirs(live: Object, path: str) -> bool:
    """Whether another writer's value stands at ``path`` (``spec.template.spec.containers[server].image``).

    A number of replicas that somebody else has set is theirs to set: an autoscaler's, or a person's. Where the book does not
    say who we are (a recording, an object from before), everything that differs is another writer's.
    """
    ours = [e for e in items(live, "metadata", "managedFields") if text(e, "manager") == FIELD_MANAGER]
    if not ours:
        return True
    if path == REPLICAS:
        return False
    return not any(_holds(mapping(e, "fieldsV1"), path) for e in ours)


def additions(live: Object, *part: str) -> list[tuple[str, str]]:
    """Path and writer of whatever others have put into a part of the object that we alone write.

    A restart (``kubectl rollout restart``) changes nothing of what runs, and Kubernetes' own controllers are none of the others.
    """
    entries = items(live, "metadata", "managedFields")
    if not any(text(e, "manager") == FIELD_MANAGER for e in entries):
        return []
    path = ".".join(part)
    found = []
    for entry in entries:
        own = text(entry, "manager") in (FIELD_MANAGER, "kube-controller-manager") or text(entry, "subresource")
        there = mapping(entry, "fieldsV1", *(f"f:{p}" for p in part))
        if not own and set(_leaves(there)) - {RESTARTED_AT, "."}:
            found.append((path, text(entry, "manager")))
    return found


def _leaves(fields: Mapping[str, Any]) -> Iterator[str]:
    for key, inner in fields.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner)
        else:
            yield key


def _holds(fields: Mapping[str, Any], path: str) -> bool:
    """Whether a tree of owned fields holds ``path``; a leaf holds all that is below it (a list that is one value)."""
    for key, inner in fields.items():
        after = _after(key, path.lstrip("."))
        if after is not None and (not inner or (after and isinstance(inner, Mapping) and _holds(inner, after))):
            return True
    return False


def _after(key: str, path: str) -> str | None:
    """What of ``path`` lies below ``key`` of the tree; None where it does not lead there."""
    kind, _, name = key.partition(":")
    if kind == "f" and path.startswith(name) and path[len(name) : len(name) + 1] in ("", ".", "["):
        return path[len(name) :]
    if kind == "k" and path.startswith("["):
        named, _, after = path[1:].partition("]")
        try:
            return after if str(json.loads(name).get("name")) == named else None
        except (ValueError, AttributeError):
            return None
    return None
