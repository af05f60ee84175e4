"""Marks and managers on recorded objects, as the API server would have shown them for an object that this package wrote.

The recordings were made with other clients: they carry no mark, and their managedFields were dropped. Here, and nowhere in
``assess``, both are added. A mark is the digest of what makes a pod in the object as it was stored, so what makes the same pod
has the same mark; it moves with the client's own requests alone, since another writer leaves it where it is. Pods carry the mark
of what their controller made them of: of the ReplicaSet's template, or of the first Model that had pods of that ``pod-hash``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.readiness.fields import items, labels_of, mapping, name_of, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.runtimes.huggingface.kserve import STORAGE_SECRET
from airflow_provider_llmserve.runtimes.kubeai.render import NOT_IN_PODS
from airflow_provider_llmserve.runtimes.kubeai.view import REVISION, SERVER
from airflow_provider_llmserve.runtimes.mark import ANNOTATION, VARIABLE
from airflow_provider_llmserve.runtimes.record import FIELD_MANAGER

_SCALING = frozenset(
    {"minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "canaryTrafficPercent", "deploymentStrategy"},
)
_HASH = "pod-template-hash"
_ANOTHER = ("another client applies", "another writer")
_WRITES = (*_ANOTHER, "client", "appl", "serve", "redeploy", "attach", "scale", "stop", "update")
"""How the text of a ``do`` line begins that tells of a write of the primary object, and of another writer's."""
_MADE_BY = ("Deployment", "ReplicaSet", "Pod")
"""What a controller makes, in this order; a recording lists what stands there at its start in any."""
FIRST_LOOK = 0.5
"""Seconds within which a recording lists what stands there at its start."""


def pod_part(primary: Object) -> Any:
    """Of a stored primary object, all that its controller puts into a pod. What is empty is left out: typed updates add it."""
    spec, kind = mapping(primary, "spec"), text(primary, "kind")
    if kind == "Deployment":
        return spec.get("template")
    if kind == "InferenceService":
        predictor = {k: v for k, v in mapping(spec, "predictor").items() if k not in _SCALING}
        return [predictor, text(primary, "metadata", "annotations", STORAGE_SECRET)]
    part = {k: v for k, v in spec.items() if k not in NOT_IN_PODS and v}
    features = spec.get("features") if text(spec, "engine") == "OLlama" else None
    return [part, bool(spec.get("adapters")), features]


@dataclass(frozen=True)
class Version:
    """One stored version of the primary object."""

    t: float
    object: Object
    """As it was recorded, with its mark and its book of managers."""
    mark: str
    requested: bool
    """The client asked for it (and not a controller, or another writer)."""


@dataclass
class Stamps:
    """The stamps of one history. ``began`` is the wall clock at second 0."""

    want: Object
    lines: list[Mapping[str, Any]]
    began: datetime
    versions: list[Version] = field(default_factory=list)
    _stamped: dict[int, Object] = field(default_factory=dict)
    _marks: dict[str, str] = field(default_factory=dict)
    """Mark by digest of a pod template, or by ``pod-hash``."""
    _sets: dict[str, str] = field(default_factory=dict)
    """Mark by ReplicaSet's uid."""

    def __post_init__(self) -> None:
        another = False
        rest = []
        for line in sorted(self.lines, key=_order):
            found = mapping(line, "object")
            if "do" in line and str(line["do"]).startswith(_WRITES):
                another = str(line["do"]).startswith(_ANOTHER)
            elif "event" in line and self._is_primary(found):
                self._stamped[id(found)] = self._primary(found, line["t"], another=another)
            elif "event" in line:
                rest.append((found, line["t"]))
        for found, t in sorted(rest, key=lambda seen: text(seen[0], "kind") == "Pod"):  # each kind has a watch of its own
            self._stamped[id(found)] = self._with(found, t)

    def of(self, found: Object) -> Object:
        """A recorded object with its stamps."""
        return self._stamped.get(id(found), found)

    def stored(self, since: float) -> Version | None:
        """The version that the client's request of second ``since`` made; where it changed nothing, the one that stood there."""
        made = (v for v in self.versions if v.t >= since and v.requested)
        return next(made, None) or next((v for v in reversed(self.versions) if v.t <= since), None)

    def _is_primary(self, found: Object) -> bool:
        return (text(found, "kind"), name_of(found)) == (text(self.want, "kind"), name_of(self.want))

    def _with(self, found: Object, t: float) -> Object:
        kind = text(found, "kind")
        if kind == "Deployment":
            return _annotated(found, self._mark(_digest(found), t), "spec", "template", "metadata")
        if kind == "ReplicaSet":
            self._sets[uid_of(found)] = mark = self._mark(_digest(found), t)
            return _annotated(found, mark, "spec", "template", "metadata")
        return self._pod(found, t) if kind == "Pod" else found

    def _primary(self, found: Object, t: float, *, another: bool) -> Object:
        before = self.versions[-1] if self.versions else None
        changed = before is None or _asked(before.object) != _asked(found)
        mark = digest(pod_part(found))[:16] if before is None or (changed and not another) else before.mark
        if text(found, "kind") == "Deployment":
            self._marks.setdefault(_digest(found), mark)
        written = before.object if before is not None else None
        marked = _with_mark(found, mark)
        managers = self._managers(marked, written, t, another=another and changed)
        stamped = {**marked, "metadata": {**mapping(marked, "metadata"), "managedFields": managers}}
        self.versions.append(Version(t, stamped, mark, requested=changed and not another))
        return stamped

    def _managers(self, found: Object, before: Object | None, t: float, *, another: bool) -> list[dict[str, Any]]:
        """Ours hold all of the spec but what another writer has changed since."""
        kept = items(before, "metadata", "managedFields") if another else []
        theirs = {path for path in _paths(mapping(found, "spec")) if another and not _same(found, before, path)}
        time = (self.began + timedelta(seconds=t)).strftime("%Y-%m-%dT%H:%M:%SZ")
        ours = _tree(p for p in _paths(mapping(found, "spec")) if p not in theirs)
        mine = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": ours, "time": text(kept[0], "time") if kept else time}
        if before is not None and not another:
            unchanged = _asked(before) == _asked(found)
            return [dict(e) for e in items(before, "metadata", "managedFields")] if unchanged else [mine]
        other = {"manager": "another-writer", "operation": "Update", "time": time, "fieldsV1": _tree(theirs)}
        return [mine, other] if theirs else [mine]

    def _mark(self, made: str, t: float) -> str:
        """Of a template or a ``pod-hash``: that of the newest version there was when it was first seen."""
        known = next((v for v in reversed(self.versions) if v.t <= t), next(iter(self.versions), None))
        return self._marks.setdefault(made, known.mark if known is not None else "")

    def _pod(self, pod: Object, t: float) -> Object:
        if text(self.want, "kind") == "Model":
            return _in_environment(pod, self._mark(text(labels_of(pod), REVISION), t))
        sets = (self._sets.get(text(r, "uid")) for r in items(pod, "metadata", "ownerReferences"))
        return _annotated(pod, next((m for m in sets if m), ""), "metadata")


def _order(line: Mapping[str, Any]) -> tuple[float, int]:
    """By time; of the first look, each object after the one that it was made of."""
    kind = text(mapping(line, "object"), "kind")
    at_start = line["t"] < FIRST_LOOK and "event" in line
    return (0.0 if at_start else line["t"], _MADE_BY.index(kind) + 1 if at_start and kind in _MADE_BY else 0)


def _asked(found: Object) -> str:
    """What a client asks for in a stored object, the mark aside, comparable."""
    spec = {k: v for k, v in mapping(found, "spec").items() if v not in ("", None, [], {}) and k != "replicas"}
    if text(found, "kind") == "Deployment":
        spec["replicas"] = mapping(found, "spec").get("replicas")
    annotations = {k: v for k, v in mapping(found, "metadata", "annotations").items() if not k.startswith("deployment.kub")}
    return json.dumps([_bare(spec), annotations], sort_keys=True)


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {k: _bare(v) for k, v in value.items() if k not in (ANNOTATION, VARIABLE)}
        return {k: v for k, v in kept.items() if v != {}}
    return [_bare(v) for v in value] if isinstance(value, list) else value


def _digest(found: Object) -> str:
    template = dict(mapping(found, "spec", "template"))
    metadata = {k: v for k, v in mapping(template, "metadata").items() if k != "creationTimestamp"}
    metadata["labels"] = {k: v for k, v in mapping(metadata, "labels").items() if k != _HASH}
    return digest({**template, "metadata": metadata})


def _with_mark(found: Object, mark: str) -> Object:
    if text(found, "kind") == "Model":
        spec = mapping(found, "spec")
        return {**found, "spec": {**spec, "env": {**mapping(spec, "env"), VARIABLE: mark}}}
    where = ("predictor",) if text(found, "kind") == "InferenceService" else ("template", "metadata")
    return _annotated(found, mark, "spec", *where)


def _annotated(found: Object, mark: str, *where: str) -> Object:
    """With the mark among the annotations of a part."""
    if not mark:
        return found
    if not where:
        return {**found, "annotations": {**mapping(found, "annotations"), ANNOTATION: mark}}
    return {**found, where[0]: _annotated(mapping(found, where[0]), mark, *where[1:])}


def _in_environment(pod: Object, mark: str) -> Object:
    def marked(container: Object) -> Object:
        entry = {"name": VARIABLE, "value": mark}
        return {**container, "env": [*items(container, "env"), entry]} if container.get("name") == SERVER else container

    return {**pod, "spec": {**mapping(pod, "spec"), "containers": [marked(c) for c in items(pod, "spec", "containers")]}}


def _paths(value: Any, at: tuple[str, ...] = ("f:spec",)) -> Iterator[tuple[str, ...]]:
    """The fields of a spec in the spelling of managedFields: lists of named things by name, other lists as one."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _paths(inner, (*at, f"f:{key}"))
    elif isinstance(value, list) and value and all(isinstance(v, Mapping) and "name" in v for v in value):
        for inner in value:
            named = json.dumps({"name": inner["name"]}, separators=(",", ":"))
            yield from _paths(inner, (*at, f"k:{named}"))
    else:
        yield at


def _same(found: Object, before: Object | None, path: tuple[str, ...]) -> bool:
    return before is not None and _value(found, path) == _value(before, path)


def _value(found: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if step.startswith("f:"):
            found = found.get(step[2:]) if isinstance(found, Mapping) else None
        else:
            name = json.loads(step[2:])["name"]
            found = next((v for v in found if v.get("name") == name), None) if isinstance(found, list) else None
    return found


def _tree(paths: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        here = tree
        for step in path:
            here = here.setdefault(step, {})
    return tree
