"""Zero by design ends a wait as a success, zero by mistake as a failure."""

from __future__ import annotations

import pytest
from support.memory_platform import MemoryPlatform

from airflow_provider_llmserve.errors import ServingFailed
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.lifecycle import serve
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.specs import KubeAIText

WANT = Want(spec=KubeAIText.parse({"url": "hf://a/b", "model_name": "m"}), name="m", owner=Owner(dag_id="d"))


async def test_zero_by_design() -> None:
    platform = MemoryPlatform(says=(verdict(State.SCALED_TO_ZERO, "scaled_to_zero", "no pod, a request wakes it"),))
    assert (await serve(platform, WANT, timeout=5)).identity.name == "m"


async def test_zero_by_mistake() -> None:
    platform = MemoryPlatform(says=(verdict(State.SCALED_TO_ZERO, "replicas_absent", "no pod is ever made"),))
    with pytest.raises(ServingFailed, match="replicas_absent"):
        await serve(platform, WANT, timeout=5)
