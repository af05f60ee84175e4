"""Whose a field is, by the API server's own book (``metadata.managedFields``). Pure.

What admission adds or rewrites in a request of ours has no manager of its own and stays ours; what anybody writes afterwards
moves to its writer (tried on Kubernetes 1.36). So nothing is guessed from values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, mapping, moment, text
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.runtimes.record import FIELD_MANAGER

Part = tuple[str, ...]
"""Path of a part of an object."""
Field = tuple[str, ...]
"""Path of one field in the API server's spelling: ``f:<name>``, ``k:<JSON of a list's key>``, ``v:<value>``."""

CONTROLLERS = frozenset({"kube-controller-manager", "kubeai-manager", "manager"})
"""Whose writes of an object are no other writer's: Kubernetes' own; KubeAI's, whose typed updates add empty fields; and KServe's,
whose updates carry what its webhook fills in."""
_REPLICAS: Field = ("f:spec", "f:replicas")
_EXEMPT = frozenset({_REPLICAS})
"""A number of replicas is theirs to set: an autoscaler's, or a person's."""
_RESTARTED_AT = "f:kubectl.kubernetes.io/restartedAt"
"""A restart (``kubectl rollout restart``) changes nothing of what runs."""


def theirs(live: Object, parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Path (``spec.template.spec.containers[server].image``) and writer of each field in those parts that another has set, and
    that is not ours as well: whoever sets our own value shares it. None where the book is empty."""
    ours = _owned(live)
    found: dict[str, str] = {}
    for entry in items(live, "metadata", "managedFields"):
        if text(entry, "manager") in (FIELD_MANAGER, *CONTROLLERS) or text(entry, "subresource"):
            continue
        for field in _fields(mapping(entry, "fieldsV1")):
            if field not in ours and field not in _EXEMPT and field[-1] != _RESTARTED_AT and _within(field, parts):
                found.setdefault(in_words(field), text(entry, "manager"))
    return list(found.items())


def lost(live: Object, written: Object, parts: Sequence[Part]) -> list[str]:
    """Paths in those parts that were ours when we wrote, and are nobody's now: somebody has taken them out."""
    held = {f for entry in items(live, "metadata", "managedFields") for f in _fields(mapping(entry, "fieldsV1"))}
    gone = (f for f in _owned(written) if f not in held and f not in _EXEMPT and _within(f, parts))
    return [in_words(field) for field in gone] if held else []


def number_is_ours(live: Object) -> bool:
    """Whether we have set its number of replicas; of a book that is empty nothing else is known."""
    return _REPLICAS in _owned(live) or not items(live, "metadata", "managedFields")


def written_at(live: Object, subresource: str = "") -> datetime | None:
    """When we last wrote it (``subresource`` ``status``: when its controller did), by the API server's clock."""
    entries = (e for e in items(live, "metadata", "managedFields") if text(e, "subresource") == subresource)
    times = (moment(e, "time") for e in entries if subresource or text(e, "manager") == FIELD_MANAGER)
    return max((t for t in times if t is not None), default=None)


def fields_of(entry: Mapping[str, Any], *part: str) -> Iterator[Field]:
    """The fields of one entry of the book within one part."""
    prefix = tuple(f"f:{p}" for p in part)
    for field in _fields(mapping(entry, "fieldsV1", *prefix)):
        yield (*prefix, *field)


def in_words(field: Field) -> str:
    """The path as people write it."""
    said = ""
    for step in field:
        said += f".{step[2:]}" if step.startswith("f:") else f"[{_element(step[2:])}]"
    return said.lstrip(".")


def _owned(thing: Object) -> set[Field]:
    entries = (e for e in items(thing, "metadata", "managedFields") if text(e, "manager") == FIELD_MANAGER)
    return {field for entry in entries for field in _fields(mapping(entry, "fieldsV1"))}


def _fields(tree: Mapping[str, Any]) -> Iterator[Field]:
    """The leaves of a tree; ``.`` is the node itself."""
    for key, inner in tree.items():
        if key == ".":
            continue
        below = list(_fields(inner)) if isinstance(inner, Mapping) else []
        yield from ((key, *field) for field in below) if below else iter([(key,)])


def _within(field: Field, parts: Sequence[Part]) -> bool:
    return any(field[: len(part)] == tuple(f"f:{p}" for p in part) for part in parts)


def _element(key: str) -> str:
    try:
        value = json.loads(key)
    except ValueError:
        return key
    return "/".join(str(v) for v in value.values()) if isinstance(value, dict) else str(value)
