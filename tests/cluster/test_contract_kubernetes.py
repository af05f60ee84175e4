"""The contract of every platform on a real control plane, by both ways of keeping the record: beside the object, by a toy
runtime, and on it, by HuggingFace-serve's Deployment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import hf
from support.answers import Answers
from support.cluster import Cluster, hook_for
from support.contract import Contract, Stage
from support.toy import spec
from support.toy_runtime import ToyRuntime

from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.runtimes.record_home import IN_CONFIG_MAP
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import ServeSpec

pytestmark = pytest.mark.cluster

NOWHERE = {"no-such": "node"}
"""Selects no node: a pod that waits for one comes up nowhere, and may yet."""


def staged(cluster: Cluster, settings: Settings, good: ServeSpec, changed: ServeSpec, failing: ServeSpec) -> Stage:
    """A stage whose platforms' requests are counted: a controller's writes are none of ours."""
    sent: list[str] = []

    def opened() -> KubernetesPlatform:
        platform = KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig))
        for verb in ("apply", "patch", "scale", "delete"):
            setattr(platform.client, verb, counted(verb, getattr(platform.client, verb), sent))
        return platform

    async def writes() -> list[str]:
        return list(sent)

    return Stage(opened, good, changed, failing, patience=1, writes=writes)


def counted(verb: str, send: Callable[..., Awaitable[Any]], sent: list[str]) -> Callable[..., Awaitable[Any]]:
    async def count(kind: Any, *arguments: Any, dry_run: bool = False, **options: Any) -> Any:
        if dry_run:
            return await send(kind, *arguments, dry_run=True, **options)
        sent.append(f"{verb} {kind.kind}")
        return await send(kind, *arguments, **options)

    return count


@pytest.mark.parametrize("toy", [IN_CONFIG_MAP], indirect=True)
class TestToy(Contract):
    @pytest.fixture
    def stage(self, cluster: Cluster, settings: Settings, toy: ToyRuntime, cpu_node: str, model: Answers) -> Stage:
        never = spec("i:3", node_selector={"ready-after": "never"})
        return staged(cluster, settings, spec("i:1"), spec("i:2"), never)


class TestDeployment(Contract):
    @pytest.fixture
    def stage(self, cluster: Cluster, settings: Settings, cpu_node: str, model: Answers) -> Stage:
        return staged(cluster, settings, hf.spec(), hf.spec(dtype="FLOAT32"), hf.spec(node_selector=NOWHERE))
