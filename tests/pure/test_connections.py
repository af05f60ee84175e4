"""Airflow connections among a spec's secrets: resolved once, when the manifests are planned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.hf import ONE, TWO

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.kubernetes import preflight, secrets, writing
from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.kinds import SECRET
from airflow_provider_llmserve.runtimes.parts import Lookup
from airflow_provider_llmserve.runtimes.record import Previous, Record
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
def values(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the connection says; a test may change it."""
    now = {"HF_TOKEN": "secret"}

    async def values(conn_ids: Any) -> dict[str, str]:
        assert tuple(conn_ids) == ("hub",)
        return dict(now)

    monkeypatch.setattr(secrets, "values", values)
    return now


def cluster(*standing: Any) -> Any:
    async def get(kind: Any, namespace: str, name: str) -> Any:
        return next((o for o in standing if (o["kind"], o["metadata"]["name"]) == (kind.kind, name)), None)

    return SimpleNamespace(get=get)


async def secret_for(spec: ServeSpec, *standing: Any, record: Record | None = None, owner: Owner = ONE) -> Any:
    return await secrets.for_want(cluster(*standing), "ai", Want(spec, "m", owner), record)


async def planned(spec: ServeSpec) -> writing.Writes:
    return writing.writes_for(Want(spec, "m", ONE), runtime_for(spec), SETTINGS, await secret_for(spec))


EVERY = pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "runtime", s.kind))


@EVERY
async def test_runtimes_see_our_secret_and_no_connection(spec: Any) -> None:
    todo = await planned(spec)
    assert todo.secret is not None
    name = todo.secret["metadata"]["name"]
    assert name.startswith("m-llmserve-")
    assert todo.spec.secrets == ("mine", name)  # type: ignore[attr-defined]
    assert ("v1", "Secret", name) in todo.names
    assert name in str(todo.primary)
    assert "conn:" not in str(todo.primary)


@EVERY
async def test_no_value_gets_into_anything_but_the_secret(spec: Any) -> None:
    """Nor a digest of it, which can be guessed: the mark is the same for two tokens under one name."""
    todo = await planned(spec)
    other = {**(todo.secret or {}), "data": {"HF_TOKEN": "b3RoZXI="}}
    again = writing.writes_for(Want(spec, "m", ONE), runtime_for(spec), SETTINGS, other)
    assert (again.primary, again.others) == (todo.primary, todo.others)


@EVERY
async def test_a_secret_that_we_are_about_to_make_is_not_missing_and_another_is(spec: Any) -> None:
    todo = await planned(spec)
    assert todo.secret is not None
    facts = await preflight._facts(cluster(), SETTINGS, runtime_for(spec), "m", todo)
    assert facts.objects[Lookup(SECRET, todo.secret["metadata"]["name"])]
    assert facts.objects[Lookup(SECRET, "mine")] is None


async def test_one_secret_while_the_values_are_equal_and_another_when_they_are_not(values: dict[str, str]) -> None:
    spec = SPECS[0]
    first = await secret_for(spec)
    assert first["immutable"] is True
    record = Record(ONE, spec, secret=first["metadata"]["name"])
    assert await secret_for(spec, first, record=record) == first
    assert (await secret_for(spec, record=record))["metadata"]["name"] != record.secret, "it was deleted by somebody"
    values["HF_TOKEN"] = "rotated"
    rotated = await secret_for(spec, first, record=record)
    assert rotated["metadata"]["name"] != record.secret


async def test_what_is_put_back_has_the_values_of_then(values: dict[str, str]) -> None:
    spec, other = SPECS[0], SPECS[0].model_copy(update={"dtype": "float16"})
    good = await secret_for(spec)
    values["HF_TOKEN"] = "rotated, and wrong"
    record = Record(TWO, other, secret="m-llmserve-2", previous=Previous(spec, False, ONE, secret=good["metadata"]["name"]))
    assert await secret_for(spec, good, record=record, owner=ONE) == good
    assert (await secret_for(spec, good, record=record, owner=TWO))["data"] != good["data"], "another deployment of that spec"
