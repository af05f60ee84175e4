"""What an answer rests on: the very pods that stood there when it was asked, told by identity and not by time. Pure.

A worker's clock and a node's agree about nothing, so "the answer came after the container started" cannot be asked of them. But
whether these are the pods that were asked can.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.readiness.fields import at, condition, items, mapping, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object


def basis_of(pods: Iterable[Object], *more: object) -> str:
    """The pods, their containers' runs and since when they are ready; ``more`` is JSON that matters besides. The same input gives
    the same text, in whatever order the pods come."""
    return digest([sorted(map(_run, pods), key=str), list(more)])[:16]


def _run(pod: Object) -> list[object]:
    runs = [[s.get(k) for k in ("name", "containerID", "restartCount")] for s in items(pod, "status", "containerStatuses")]
    started = [at(s, "state", "running", "startedAt") for s in items(pod, "status", "containerStatuses")]
    return [uid_of(pod), runs, started, text(condition(pod, "Ready"), "lastTransitionTime")]


def with_gains(known: set[tuple[str, str]], before: Object | None, after: Object) -> set[tuple[str, str]]:
    """The labels (pod's uid, key) that pods have gained, with what one more look at a pod shows.

    A label counts that was seen to be absent before; one whose value changes in place does not count any more.
    """
    if before is None:
        return known
    old, new = (mapping(p, "metadata", "labels") for p in (before, after))
    found = {(uid_of(after), str(key)) for key in new if key not in old}
    changed = {(uid_of(after), str(key)) for key in old if key not in new or new[key] != old[key]}
    return (known | found) - changed if found or changed else known
