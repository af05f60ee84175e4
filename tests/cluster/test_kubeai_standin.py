"""The stand-in for KubeAI's manager makes the same sequence of Models and Pods as the real one did in the recordings."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster
from support.kubeai_manager import KubeAI
from support.kubeai_world import World

from airflow_provider_llmserve.replay.history import History
from airflow_provider_llmserve.runtimes.kubeai.adapters import LABEL_PREFIX

pytestmark = pytest.mark.cluster
CASES = Path(__file__).parents[1] / "pure" / "cases" / "kubeai"

HISTORIES = {
    "create-ready": World(ready_after=3.5, pause=3.0),
    "created-at-zero": World(pause=3.0),
    "create-unknown-profile": World(pause=3.0),
    "update-good": World(ready_after=3.5, pause=3.0),
    "update-unknown-profile": World(ready_after=0.2, pause=0.5),
    "scale-3-to-1": World(ready_after=0.2, pause=3.0),
    "adapter-added-hot": World(ready_after=0.2, pause=0.5, download=2.0),
    "adapter-removed-hot": World(ready_after=0.2, pause=0.5, removal=2.0),
    "adapter-url-changed": World(ready_after=0.2, pause=0.5, download=2.0, removal=1.5),
    "create-two-adapters": World(ready_after=2.3, pause=3.0, download=4.0),
    "delete": World(ready_after=0.2, pause=0.5),
}


class Trace:
    """What a watcher sees of a Model and its pods, without names, times and the noise between."""

    def __init__(self) -> None:
        self.model: list[str] = []
        self._pods: dict[str, list[str]] = {}
        self._versions: dict[str, int] = {}

    def take(self, event: str, found: dict[str, Any]) -> None:
        kind, metadata = found.get("kind"), found["metadata"]
        if kind == "Model":
            spec, status = found["spec"], found.get("status") or {}
            replicas = status.get("replicas") or {}
            marks = len([k for k in metadata.get("labels") or {} if k.startswith("features.")])
            line = f"replicas={spec.get('replicas')} marks={marks} status={replicas.get('all')}/{replicas.get('ready')}"
            _append(self.model, "deleted" if event == "DELETED" else line)
        elif kind == "Pod" and "pod-hash" in (metadata.get("labels") or {}):
            labels = metadata["labels"]
            version = self._versions.setdefault(labels["pod-hash"], len(self._versions))
            adapters = sorted(f"{k.removeprefix(LABEL_PREFIX)}={v}" for k, v in labels.items() if k.startswith(LABEL_PREFIX))
            ready = any(
                c["type"] == "Ready" and c["status"] == "True" for c in (found.get("status") or {}).get("conditions") or []
            )
            state = "ending" if "deletionTimestamp" in metadata else "ready" if ready else "pending"
            line = "deleted" if event == "DELETED" else f"v{version} {state} {adapters}"
            _append(self._pods.setdefault(metadata["name"], []), line)

    @property
    def pods(self) -> Counter[tuple[str, ...]]:
        """Each pod's life; which of several alike pods came first is chance."""
        return Counter(tuple(line for line in life if " ending" not in line) for life in self._pods.values())


def _append(lines: list[str], line: str) -> None:
    if not lines or lines[-1] != line:
        lines.append(line)


def recorded(history: History) -> Trace:
    trace = Trace()
    for line in history.lines:
        if "event" in line:
            trace.take(line["event"], line["object"])
    return trace


async def _collect(events: AsyncIterator[tuple[str, dict[str, Any]]], kind: str, trace: Trace) -> None:
    async for event, found in events:
        trace.take(event, {"kind": kind, **found})


async def played(cluster: Cluster, history: History, world: World) -> tuple[Trace, Trace]:
    """The same requests, made of the stand-in, and its trace once it is as long as the recorded one."""
    namespace = cluster.namespace()
    want, before = dict(history.want), history.header.get("before")
    wanted, trace = recorded(history), Trace()
    name = want["metadata"]["name"]
    async with KubeAI(cluster, namespace, system=history.header["config"], world=world) as kubeai:
        path = f"/apis/kubeai.org/v1/namespaces/{namespace}/models"

        async def apply(model: dict[str, Any]) -> None:
            body = {**model, "metadata": {**model["metadata"], "namespace": namespace}}
            await kubeai.api.send("PATCH", f"{path}/{name}?fieldManager=client&force=true", body, "application/apply-patch+yaml")

        if before:
            await apply(before)
            replicas = before["spec"].get("replicas", before["spec"]["minReplicas"])
            labels = len(before["spec"].get("adapters") or [])
            await _until(lambda: _settled(kubeai, name, replicas, labels))
        watching = [
            asyncio.create_task(_collect(kubeai.api.watch(path), "Model", trace)),
            asyncio.create_task(_collect(kubeai.api.watch(f"/api/v1/namespaces/{namespace}/pods"), "Pod", trace)),
        ]
        try:
            if before:
                await _until(lambda: trace.model and trace.pods.total() == replicas)
            if history.present:
                await apply(want)
            else:
                await kubeai.api.send("DELETE", f"{path}/{name}")
            await _until(lambda: trace.model == wanted.model and trace.pods == wanted.pods, 60, fail=False)
        finally:
            for task in watching:
                task.cancel()
    return trace, wanted


def _settled(kubeai: KubeAI, name: str, replicas: int, adapters: int) -> bool:
    status = (kubeai.models.get(name, {}).get("status") or {}).get("replicas")
    pods: Iterable[dict[str, Any]] = (p for p in kubeai.pods.values() if "pod-hash" in p["metadata"]["labels"])
    loaded = all(sum(k.startswith(LABEL_PREFIX) for k in p["metadata"]["labels"]) == adapters for p in pods)
    return status == {"all": replicas, "ready": replicas} and loaded


async def _until(condition: Any, seconds: float = 30, *, fail: bool = True) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            assert not fail, "the stand-in did not get there"
            return
        await asyncio.sleep(0.02)


async def test_the_stand_in_makes_the_recorded_sequences(cluster: Cluster) -> None:
    node = cluster.node(gpus=0)
    histories = {name: History.read(CASES / f"{name}.jsonl.gz") for name in HISTORIES}
    try:
        traces = await asyncio.gather(*(played(cluster, histories[n], HISTORIES[n]) for n in HISTORIES))
    finally:
        cluster.remove_node(node)
    found = {name: (trace.model, trace.pods) for name, (trace, _) in zip(HISTORIES, traces, strict=True)}
    wanted = {name: (want.model, want.pods) for name, (_, want) in zip(HISTORIES, traces, strict=True)}
    differing = [name for name in HISTORIES if found[name] != wanted[name]]
    shown = "\n".join(f"{n}:\n  stand-in {found[n]}\n  recorded {wanted[n]}" for n in differing)
    assert not differing, shown
