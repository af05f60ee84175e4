"""Words of the HuggingFace-serve tests on a real control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from support.cluster import Cluster

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Want
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.readiness.state import Verdict
from airflow_provider_llmserve.specs import HuggingFaceServe

ONE = Owner(dag_id="d", run_id="r1", task_id="t", try_number=1, ti_id="one")
TWO = Owner(dag_id="d", run_id="r2", task_id="t", try_number=1, ti_id="two")


def spec(**fields: Any) -> HuggingFaceServe:
    return HuggingFaceServe.parse(
        {"path": "hf://acme/bert", "model_name": "bert", "huggingface_task": "sequence_classification", **fields}
    )


def want(owner: Owner = ONE, name: str = "bert", stopped: bool = False, **fields: Any) -> Want:
    return Want(spec=spec(**fields), name=name, owner=owner, stopped=stopped)


class Namespace:
    """Raw objects of one namespace, as the administrator sees them."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name

    def path(self, kind: str, name: str = "") -> str:
        group = {
            "deployments": "apis/apps/v1",
            "replicasets": "apis/apps/v1",
            "inferenceservices": "apis/serving.kserve.io/v1beta1",
        }.get(kind, "api/v1")
        return f"/{group}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.cluster.admin.get(self.path(kind, name))

    def all(self, kind: str) -> list[dict[str, Any]]:
        return self.cluster.admin.items(self.path(kind))

    def create(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.cluster.admin.create(self.path(kind), body)

    def versions(self, *kinds: str) -> dict[str, str]:
        """What any write moves: every object's uid and resourceVersion."""
        return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for kind in kinds for o in self.all(kind)}

    def pod_uids(self) -> set[str]:
        return {p["metadata"]["uid"] for p in self.all("pods")}

    def set_status(self, pod: str, status: dict[str, Any]) -> None:
        """Play the kubelet for a pod on a node that kwok leaves alone."""
        self.cluster.admin.merge(self.path("pods", pod) + "/status", {"status": status})


async def first(platform: KubernetesPlatform, run: ServingRun, found: Callable[[Verdict], bool], seconds: float = 60) -> Verdict:
    """The first verdict that is looked for; fails with the last ones seen."""
    seen: list[str] = []

    async def look() -> Verdict:
        async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
            async for v in verdicts:
                seen.append(v.text())
                if found(v):
                    return v
        raise AssertionError("the verdicts ended")

    try:
        return await asyncio.wait_for(look(), seconds)
    except asyncio.TimeoutError:
        raise AssertionError("not seen; the last verdicts were:\n" + "\n".join(seen[-3:])) from None


def unmanaged_node(cluster: Cluster, name: str) -> str:
    """A Ready node that kwok leaves alone, so that a test says what becomes of its pods."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "100", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "8"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "played by a test"}
    cluster.admin.create(
        "/api/v1/nodes",
        {
            "metadata": {"name": name, "labels": {"played-by": name}},
            "status": {"allocatable": room, "capacity": room, "conditions": [ready]},
        },
    )
    return name
