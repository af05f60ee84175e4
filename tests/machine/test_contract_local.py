"""The contract of every platform on this machine: llama.cpp and a real small model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.contract import Contract, Stage
from support.local_model import BASE, model_path, processes

from airflow_provider_llmserve.platforms import open_platform
from airflow_provider_llmserve.platforms.local import prepare
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

pytestmark = pytest.mark.machine


def spec(**fields: object) -> KubeAIText:
    return KubeAIText.parse({"url": BASE, "model_name": "served", **fields})


class TestContract(Contract):
    @pytest.fixture
    async def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
        """A state folder of its own, of which no process is left. What fails is an adapter that passes every check and that
        llama.cpp refuses all the same."""
        monkeypatch.setattr(prepare, "_gguf_adapter", lambda path, base: path)
        no_adapter = tmp_path / "model-as-adapter.gguf"
        no_adapter.symlink_to(model_path())
        settings = Settings(platform="local", state_dir=str(tmp_path / "llmserve"), threads=1)
        failing = spec(adapters=[{"name": "bad", "url": no_adapter.as_uri()}])
        yield Stage(lambda: open_platform(settings), spec(), spec(args=["--max-model-len=256"]), failing)
        async with open_platform(settings) as platform:
            for run in await platform.runs():
                await platform.delete(run, timeout=60)
        assert processes(str(tmp_path / "llmserve")) == []
