"""Taking somebody else's object over, or what others have set in ours, and giving it back. Pure.

A server-side apply of ours adds to what others set: their container would run beside ours. What the API server calls the managers
of the fields decides what an apply removes: fields that the applier owns and no longer names. So the former managers' part of
``spec`` becomes ours first (as client-go's ``csaupgrade.UpgradeManagedFields`` does for kubectl), and then our apply drops what
it does not ask for. Labels and annotations stay whose they are; so does what a subresource wrote (a status, an autoscaler's
scale).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_llmserve.readiness.fields import at, items, mapping, text
from airflow_provider_llmserve.runtimes.managers import Part, fields_of, in_words
from airflow_provider_llmserve.runtimes.parts import Manifest
from airflow_provider_llmserve.runtimes.record import FIELD_MANAGER

POD_PART: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "Model": ("spec",),
    "InferenceService": ("spec", "predictor"),
}
"""Where the pod is described in an object of that kind."""
_NUMBER = "f:replicas"
_LONG = 12
"""Fields that are named one by one."""


def managers_after(
    live: Mapping[str, Any], parts: Sequence[Part] = (("spec",),), *, spared: Collection[str] = ()
) -> list[dict[str, Any]]:
    """``metadata.managedFields`` in which every field of ``parts`` that somebody has set is ours, but for the number of replicas
    and what the ``spared`` managers set."""
    ours: dict[str, Any] = {}
    kept = []
    for entry in items(live, "metadata", "managedFields"):
        fields = copy.deepcopy(dict(mapping(entry, "fieldsV1")))
        applied_by_us = text(entry, "manager") == FIELD_MANAGER and text(entry, "operation") == "Apply"
        if text(entry, "subresource") or text(entry, "manager") in spared:
            kept.append(dict(entry))
        elif applied_by_us:
            _unite(ours, fields)
        else:
            for part in parts:
                _unite(ours, _cut(fields, [f"f:{step}" for step in part]))
            if fields:
                kept.append({**entry, "fieldsV1": fields})
    if not ours:
        return kept
    mine = {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": text(live, "apiVersion"), "fieldsType": "FieldsV1"}
    return [*kept, {**mine, "fieldsV1": ours}]


def foreign_fields(live: Mapping[str, Any]) -> list[str]:
    """The fields of ``spec`` that others have set, as ``spec.template.spec.containers[main].image``."""
    found: dict[str, None] = {}
    for entry in items(live, "metadata", "managedFields"):
        if text(entry, "manager") != FIELD_MANAGER and not text(entry, "subresource"):
            spec = {"fieldsV1": {"f:spec": _spec_of(entry)}}
            found.update(dict.fromkeys(in_words(field) for field in fields_of(spec, "spec")))
    return list(found)


def forecast(live: Mapping[str, Any], planned: Manifest, *, surge: int | None) -> str:
    """What adopting ``live`` as ``planned`` changes, for people. ``surge`` is how many pods more than asked for a rollout of a
    KubeAI Model may make, None where that is not known."""
    kind, name = text(planned, "kind"), text(planned, "metadata", "name")
    gone = [p for p in foreign_fields(live) if _absent(planned, p)]
    said = f"{kind} {name} is adopted: what others set in its spec becomes ours"
    if gone:
        more = f" and {len(gone) - _LONG} more" if len(gone) > _LONG else ""
        said += f"; not asked for, so removed: {', '.join(gone[:_LONG])}{more}"
    part = POD_PART.get(kind, ("spec",))
    if not any(p.startswith(".".join(part)) for p in gone) and _holds(at(live, *part), at(planned, *part)):
        return said + ". Its pods stay as they are"
    said += ". Its pods are replaced"
    if _interrupts(planned, surge):
        said += "; with one replica and no pod beside it that is an outage until the new one is ready"
    return said


def merge_patch(before: Any, after: Any) -> Any:
    """The JSON merge patch (RFC 7386) that makes ``before`` into ``after``; neither holds nulls."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    gone = {key: None for key in before if key not in after}
    changed = {
        key: merge_patch(before[key], value) if key in before else value
        for key, value in after.items()
        if key not in before or before[key] != value
    }
    return {**gone, **changed}


def back_to(live: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that gives an object its former spec, labels and annotations."""
    patch: dict[str, Any] = {"spec": merge_patch(mapping(live, "spec"), mapping(before, "spec")), "metadata": {}}
    for key in ("labels", "annotations"):
        patch["metadata"][key] = merge_patch(mapping(live, "metadata", key), mapping(before, "metadata", key))
    return patch


def _spec_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Its part of ``spec``, without the number of replicas: taken over and not asked for, that would fall back to the least."""
    return {k: v for k, v in mapping(entry, "fieldsV1", "f:spec").items() if k not in (_NUMBER, ".")}


def _cut(fields: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The part at ``path``, which is taken out of ``fields`` (but for the number of replicas)."""
    key, *below = path
    inner = fields.get(key)
    if not isinstance(inner, dict):
        return {}
    taken = _cut(inner, below) if below else {k: inner.pop(k) for k in list(inner) if (key, k) != ("f:spec", _NUMBER)}
    if not inner.keys() - {"."}:
        fields.pop(key)
    return {key: taken} if taken or not below else {}


def _unite(into: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for key, inner in fields.items():
        _unite(into.setdefault(key, {}), inner if isinstance(inner, Mapping) else {})


def _absent(planned: Manifest, path: str) -> bool:
    """Whether the manifest has nothing at the path;
    an element of a list is looked up by its name, or else by any of its values."""
    here: Any = planned
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            wanted = step[1:-1]
            elements: Sequence[Any] = here if isinstance(here, list) else []
            here = next((e for e in elements if e == wanted or _named(e, wanted)), None)
        else:
            here = here.get(step) if isinstance(here, Mapping) else None
        if here is None:
            return True
    return False


def _named(element: Any, wanted: str) -> bool:
    if not isinstance(element, Mapping):
        return False
    return element.get("name") == wanted or all(part in map(str, element.values()) for part in wanted.split("/"))


def _holds(live: Any, planned: Any) -> bool:
    """Whether all of ``planned`` is so in ``live`` already; what the API server has filled in besides does not count."""
    if isinstance(planned, Mapping):
        return isinstance(live, Mapping) and all(_holds(live.get(k), v) for k, v in planned.items())
    if isinstance(planned, (list, tuple)):
        same = isinstance(live, (list, tuple)) and len(live) == len(planned)
        return same and all(_holds(a, b) for a, b in zip(live, planned, strict=True))
    return bool(live == planned)


def _interrupts(planned: Manifest, surge: int | None) -> bool:
    spec = mapping(planned, "spec")
    if text(planned, "kind") == "Model":
        return surge == 0 and spec.get("replicas", spec.get("minReplicas", 1)) in (0, 1)
    if text(planned, "kind") != "Deployment" or spec.get("replicas", 1) > 1:
        return False
    strategy = mapping(spec, "strategy")
    return text(strategy, "type") == "Recreate" or at(strategy, "rollingUpdate", "maxSurge") in (0, "0", "0%")
