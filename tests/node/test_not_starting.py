"""Every way in which a pod does not start or stay, on a real kubelet: all at once, each by its word.

How soon each is named after its first sign is told at the end of the run, by the cluster's own times; it is no assertion.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from support.cluster import Cluster, hook_for
from support.realnode.node import Node
from support.realnode.told import TOLD
from support.realnode.ways import WAYS

from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.readiness.events import event_time
from airflow_provider_llmserve.readiness.fields import items, moment, text
from airflow_provider_llmserve.readiness.observed import Object, Observed, PodLog
from airflow_provider_llmserve.readiness.pods import diagnose_pod, logs_wanted
from airflow_provider_llmserve.runtimes.kinds import EVENT, POD

pytestmark = pytest.mark.node

LOOKS_FOR = 90.0
"""Seconds after which what was not said is not said. Slow ones: a limit on disk, a probe that gives up under load."""
_TRANSIENT = ("FailedScheduling", "Unhealthy")


@dataclass
class Way:
    """What was seen of one pod."""

    signs: list[datetime] = field(default_factory=list)
    """Times at which the cluster showed that something is wrong."""
    words: dict[str, datetime] = field(default_factory=dict)
    """Each word, and when it was said first, by the cluster's clock."""
    final: bool = False
    detail: str = ""

    def in_words(self, name: str) -> str:
        began = min(self.signs, default=None)
        told = [f"{word} after {(at - began).total_seconds():.1f} s" if began else word for word, at in self.words.items()]
        return f"{name}: {', '.join(told)}{', final' if self.final else ''}"


def signs(pod: Object, events: list[Object]) -> Iterator[datetime | None]:
    """When the API server first showed that something is wrong with the pod, by rules that are not ours."""
    for event in events:
        if event.get("type") == "Warning" and event.get("reason") not in _TRANSIENT:
            yield event_time(event)
    for key in ("initContainerStatuses", "containerStatuses"):
        for status in items(pod, "status", key):
            yield moment(status, "state", "terminated", "finishedAt")
            yield moment(status, "lastState", "terminated", "finishedAt")
    for condition in items(pod, "status", "conditions"):
        if text(condition, "type") == "PodScheduled" and text(condition, "status") == "False":
            yield moment(condition, "lastTransitionTime")


def looked(pods: list[Any], observed: Observed, seen: Mapping[str, Way], now: datetime) -> None:
    for pod in pods:
        name = pod["metadata"]["name"]
        way = seen[name]
        way.signs += [at for at in signs(pod, observed.events_named(name)) if at is not None]
        trouble = diagnose_pod(pod, observed, now, system="vllm")
        if trouble is not None:
            way.words.setdefault(trouble.reason, now)
            way.final, way.detail = trouble.fatal, trouble.detail


async def watched(client: Client, namespace: str) -> dict[str, Way]:
    """Look at all pods, as whoever waits for one does, until each has its word."""
    seen = {name: Way() for name in WAYS}
    logs: dict[Any, PodLog] = {}
    deadline = time.monotonic() + LOOKS_FOR
    while time.monotonic() < deadline and any(WAYS[name].word not in way.words for name, way in seen.items()):
        pods, events = await asyncio.gather(client.list(POD, namespace), client.list(EVENT, namespace))
        observed = Observed((*pods.items, *events.items), frozenset({"Pod", "Event"}), logs=tuple(logs.values()))
        for one in logs_wanted(observed):
            if one not in logs or one.growing:
                said = await client.logs(namespace, one.pod, one.container, tail=300, previous=one.previous)
                logs[one] = PodLog(one.pod, one.container, said, previous=one.previous)
        looked(list(pods.items), observed.with_logs(*logs.values()), seen, client.now())
        await asyncio.sleep(0.5)
    return seen


async def all_of_them(cluster: Cluster) -> dict[str, Way]:
    namespace = cluster.namespace()
    cluster.admin.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "has"}, "stringData": {"a": "b"}})
    async with Client(hook_for(cluster.kubeconfig)) as client:
        for name, way in WAYS.items():
            cluster.admin.create(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": way.pod})
        found = await watched(client, namespace)
    cluster.admin.delete(f"/api/v1/namespaces/{namespace}")
    return found


@pytest.fixture(scope="module")
def seen(control_plane: Cluster, node: Node, request: pytest.FixtureRequest) -> dict[str, Way]:
    """All of them, watched together."""
    found = asyncio.run(all_of_them(control_plane))
    request.config.stash.setdefault(TOLD, []).extend(way.in_words(name) for name, way in found.items())
    return found


@pytest.mark.parametrize("name", WAYS)
def test_each_gets_its_word(seen: dict[str, Way], name: str) -> None:
    way = seen[name]
    assert list(way.words)[-1] == WAYS[name].word
    assert way.words.keys() - {WAYS[name].word} <= set(WAYS[name].before)
