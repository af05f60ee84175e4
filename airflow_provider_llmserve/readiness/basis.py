"""What an answer rests on: the very pods that stood there when it was asked, told by identity and not by time. Pure.

A worker's clock and a node's agree about nothing, so "the answer came after the container started" cannot be asked of them. But
whether these are the pods that were asked can.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.readiness.fields import at, condition, items, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object


def basis_of(pods: Iterable[Object], *more: object) -> str:
    """The pods, their containers' runs and since when they are ready; ``more`` is JSON that matters besides. The same input gives
    the same text, in whatever order the pods come."""
    return digest([sorted(map(_run, pods), key=str), list(more)])[:16]


def _run(pod: Object) -> list[object]:
    runs = [[s.get(k) for k in ("name", "containerID", "restartCount")] for s in items(pod, "status", "containerStatuses")]
    started = [at(s, "state", "running", "startedAt") for s in items(pod, "status", "containerStatuses")]
    return [uid_of(pod), runs, started, text(condition(pod, "Ready"), "lastTransitionTime")]
