"""Words of the tests that run on the toy runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from support.cluster import Cluster

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Want
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

ONE = Owner(dag_id="d", run_id="r1", task_id="t", try_number=1, ti_id="one")
TWO = Owner(dag_id="d", run_id="r2", task_id="t", try_number=1, ti_id="two")


def spec(image: str = "i:1", **fields: Any) -> HuggingFaceServe:
    return HuggingFaceServe.parse(
        {"path": "hf://org/toy", "image": image, "model_name": "toy", "huggingface_task": "text_generation", **fields}
    )


def want(s: HuggingFaceServe | None = None, owner: Owner = ONE, **fields: Any) -> Want:
    return Want(spec=s or spec(), name="toy", owner=owner, **fields)


def deployment(cluster: Cluster, settings: Settings) -> dict[str, Any]:
    live = cluster.admin.get(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments/toy")
    assert live is not None
    return live


def pods(cluster: Cluster, settings: Settings) -> list[dict[str, Any]]:
    return cluster.admin.items(f"/api/v1/namespaces/{settings.namespace}/pods?labelSelector=toy%3Dtoy")


async def first(platform: KubernetesPlatform, run: ServingRun, wanted: Callable[[Verdict], Any], seconds: float = 30) -> Verdict:
    """The first verdict that is as wanted; fails, with all that came, after ``seconds``."""
    seen: list[str] = []

    async def look() -> Verdict:
        async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
            async for v in verdicts:
                seen.append(v.text())
                if wanted(v):
                    return v
        raise AssertionError("the verdicts ended")

    try:
        return await asyncio.wait_for(look(), seconds)
    except asyncio.TimeoutError:
        raise AssertionError("not among the verdicts:\n" + "\n".join(dict.fromkeys(seen))) from None


def is_ready(v: Verdict) -> bool:
    return v.state is State.READY
