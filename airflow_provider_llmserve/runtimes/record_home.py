"""Where a serving run's record stands: on the primary object, or in a ConfigMap beside it. Pure.

A runtime says which by its ``RECORD``; everything that differs between the two is here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from airflow_provider_llmserve.readiness.fields import items, labels_of, mapping, text, uid_of
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP
from airflow_provider_llmserve.runtimes.parts import Manifest, Permission, Watched
from airflow_provider_llmserve.runtimes.record import MANAGED_BY, PREFIX, Record, companion_name, read, write

Object = Mapping[str, Any]


class RecordHome(Protocol):
    """What a place of the record must tell."""

    PERMISSIONS: tuple[Permission, ...]
    """What keeping it there needs beside the runtime's own."""
    PROPAGATION: Literal["Foreground", "Background"]
    """How the primary object is deleted."""

    def companion(self, name: str, record: Record) -> Manifest | None:
        """The object beside the primary one that holds it; None where there is none."""
        ...

    def stamped(self, primary: Manifest, record: Record) -> Manifest:
        """The primary object as it is written, with what it holds of the record."""
        ...

    def watched(self, name: str) -> Sequence[Watched]:
        """What must be seen beside what the runtime watches."""
        ...

    def read(self, primary: Object, companion: Object | None) -> Record | None:
        """The record of ``primary``; None where there is none. Total: any field may be missing."""
        ...

    def without(self, keys: Sequence[str]) -> dict[str, Any]:
        """A merge patch (of the companion where there is one, else of the primary) that takes those parts of the record away."""
        ...


class InAnnotations:
    """On the primary object: one write changes both, and the record cannot outlive what it tells of."""

    PERMISSIONS: tuple[Permission, ...] = ()
    PROPAGATION: Literal["Foreground", "Background"] = "Foreground"

    def companion(self, name: str, record: Record) -> None:
        """None."""

    def stamped(self, primary: Manifest, record: Record) -> Manifest:
        """With the record as annotations; nothing of it enters a pod template."""
        stamped = copy.deepcopy(primary)
        stamped["metadata"].setdefault("annotations", {}).update({PREFIX + k: v for k, v in write(record).items()})
        return stamped

    def watched(self, name: str) -> Sequence[Watched]:
        """Nothing more."""
        return ()

    def read(self, primary: Object, companion: Object | None) -> Record | None:
        """From the annotations."""
        annotations = mapping(primary, "metadata", "annotations")
        return read({k.removeprefix(PREFIX): v for k, v in annotations.items() if k.startswith(PREFIX) and isinstance(v, str)})

    def without(self, keys: Sequence[str]) -> dict[str, Any]:
        """A patch of the primary."""
        return {"metadata": {"annotations": {PREFIX + key: None for key in keys}}}


class InConfigMap:
    """Beside a primary object whose annotations would roll the model out (KServe copies them into the pods)."""

    PERMISSIONS: tuple[Permission, ...] = (
        Permission("", CONFIG_MAP.plural, ("get", "list", "watch", "create", "patch", "delete")),
    )
    PROPAGATION: Literal["Foreground", "Background"] = "Background"
    """In the foreground the collector takes the record along while a finalizer still holds the primary: a retry would not
    know its own deployment any more."""

    def companion(self, name: str, record: Record) -> Manifest:
        """The ConfigMap."""
        metadata = {"name": companion_name(name), "labels": dict(MANAGED_BY)}
        return {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.kind, "metadata": metadata, "data": write(record)}

    def stamped(self, primary: Manifest, record: Record) -> Manifest:
        """As it is."""
        return copy.deepcopy(primary)

    def watched(self, name: str) -> Sequence[Watched]:
        """The ConfigMap."""
        return (Watched(CONFIG_MAP, name=companion_name(name)),)

    def read(self, primary: Object, companion: Object | None) -> Record | None:
        """From the ConfigMap's data; one that belongs to another object says nothing."""
        if companion is None:
            return None
        uids = {text(o, "uid") for o in items(companion, "metadata", "ownerReferences")}
        ours = MANAGED_BY.items() <= labels_of(primary).items()
        # No owner yet: we wrote the companion, then the primary, and were cut off before we tied the two.
        if uid_of(primary) not in uids and (uids or not ours):
            return None
        return read({k: v for k, v in mapping(companion, "data").items() if isinstance(v, str)})

    def without(self, keys: Sequence[str]) -> dict[str, Any]:
        """A patch of the ConfigMap."""
        return {"data": dict.fromkeys(keys)}


IN_ANNOTATIONS: RecordHome = InAnnotations()
IN_CONFIG_MAP: RecordHome = InConfigMap()
