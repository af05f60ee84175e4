"""Airflow connections among a spec's secrets: resolved once, when the manifests are planned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.hf import ONE

from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.kubernetes import preflight, secrets, writing
from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.kinds import SECRET
from airflow_provider_llmserve.runtimes.parts import Lookup
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec

SETTINGS = Settings(platform="kubernetes", namespace="ai")
GIVEN = {"model_name": "m", "secrets": ["mine", "conn:hub"]}
SPECS = [
    HuggingFaceServe.parse({**GIVEN, "path": "hf://o/m"}),
    HuggingFaceServe.parse({**GIVEN, "path": "hf://o/m", "runtime": "inferenceservice"}),
    KubeAIText.parse({**GIVEN, "url": "hf://o/m"}),
]


@pytest.fixture(autouse=True)
def values(monkeypatch: pytest.MonkeyPatch) -> None:
    async def values(conn_ids: Any) -> dict[str, str]:
        assert tuple(conn_ids) == ("hub",)
        return {"HF_TOKEN": "secret"}

    monkeypatch.setattr(secrets, "values", values)


async def planned(spec: ServeSpec) -> writing.Writes:
    return await writing.writes_for(Want(spec, "m", ONE), runtime_for(spec), SETTINGS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "runtime", s.kind))
async def test_runtimes_see_our_secret_and_no_connection(spec: Any) -> None:
    todo = await planned(spec)
    assert todo.spec.secrets == ("mine", "m-llmserve")  # type: ignore[attr-defined]
    assert [m["metadata"]["name"] for m in todo.others if m["kind"] == "Secret"] == ["m-llmserve"]
    text = str(todo.primary)
    assert "m-llmserve" in text
    assert "conn:" not in text


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "runtime", s.kind))
async def test_a_secret_that_we_are_about_to_make_is_not_missing_and_another_is(spec: Any) -> None:
    async def nothing_there(*_: Any) -> None:
        return None

    client: Any = SimpleNamespace(get=nothing_there)
    facts = await preflight._facts(client, SETTINGS, runtime_for(spec), "m", await planned(spec))
    assert facts.objects[Lookup(SECRET, "m-llmserve")]
    assert facts.objects[Lookup(SECRET, "mine")] is None
