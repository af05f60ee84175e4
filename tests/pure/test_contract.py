"""The contract of every platform, on those that live in this process: what it says can be kept, and the tests' double keeps
it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.contract import Contract, Stage
from support.memory_platform import MemoryPlatform

from airflow_provider_llmserve.specs import KubeAIText

GOOD, CHANGED, FAILING = (KubeAIText.parse({"url": f"hf://a/{model}", "model_name": "served"}) for model in ("b", "c", "broken"))


def memory() -> Stage:
    platform = MemoryPlatform(broken=[FAILING])

    async def writes() -> list[str]:
        return list(platform.writes)

    return Stage(lambda: platform, GOOD, CHANGED, FAILING, patience=0.01, writes=writes)


STAGES: tuple[Callable[[], Stage], ...] = (memory,)


class TestContract(Contract):
    @pytest.fixture(params=STAGES, ids=lambda of: of.__name__)
    def stage(self, request: Any) -> Stage:
        stage: Stage = request.param()
        return stage
