"""What was seen of pods' labels while somebody looked: the one thing that a snapshot does not tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow_provider_llmserve.readiness.fields import items, labels_of, mapping, moment, uid_of
from airflow_provider_llmserve.readiness.observed import Label, LabelsSeen, Object


def seen_after(seen: LabelsSeen, before: Object | None, now: Object) -> LabelsSeen:
    """With what one more look at a pod shows; of its first (``before`` is None) nothing is known but when its labels were set
    at the latest."""
    old, new = labels_of(before) if before is not None else {}, labels_of(now)
    added, lost = _these(now, new.keys() - old.keys()), _these(now, old.keys() - new.keys())
    changed = _these(now, {k for k in old.keys() & new.keys() if old[k] != new[k]})
    if not (added or lost or changed):
        return seen
    written = _written(now)
    fresh = {label: at for label in added | changed if (at := written.get(label[1])) is not None}
    gained = added if before is not None else frozenset()
    return LabelsSeen(
        gained=(seen.gained | gained) - lost - changed,
        changed=(seen.changed | changed) - lost - gained,
        since={**{label: at for label, at in seen.since.items() if label not in lost | changed}, **fresh},
    )


def labelled_at(pod: Object, key: str) -> datetime | None:
    """When the writer who set that label has last written any, by the pod's managedFields: the label stands since then at the
    latest."""
    return _written(pod).get(key)


def _these(pod: Object, keys: Iterable[object]) -> frozenset[Label]:
    return frozenset((uid_of(pod), str(key)) for key in keys)


def _written(pod: Object) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for entry in items(pod, "metadata", "managedFields"):
        at = moment(entry, "time")
        for key in mapping(entry, "fieldsV1", "f:metadata", "f:labels") if at is not None else ():
            if at is not None:
                found[key[2:]] = max(at, found.get(key[2:], at))
    return found
