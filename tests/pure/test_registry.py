"""One registry of platforms and of runtimes, read by everyone, and modules that are what their row says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_llmserve import names, registry, specs
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.hooks.llmserve import LLMServeHook
from airflow_provider_llmserve.platforms import open_platform
from airflow_provider_llmserve.platforms.base import Platform
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.provider_info import get_provider_info
from airflow_provider_llmserve.replay.judge import assess_of
from airflow_provider_llmserve.runtimes import kubeai, runtime, runtimes_of
from airflow_provider_llmserve.runtimes.base import RuntimeOf
from airflow_provider_llmserve.runtimes.huggingface import deployment, inferenceservice
from airflow_provider_llmserve.runtimes.kinds import KINDS
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText

# mypy holds each platform and each module to its interface here.
PLATFORMS: tuple[type[Platform], ...] = (KubernetesPlatform, LocalPlatform)
KUBEAI: RuntimeOf[KubeAIText] = kubeai
HUGGINGFACE: tuple[RuntimeOf[HuggingFaceServe], ...] = (deployment, inferenceservice)


def test_each_platform_is_opened_by_its_name_and_by_its_example() -> None:
    for row in registry.PLATFORMS:
        opened = open_platform(Settings.model_validate(json.loads(row.example)))
        assert opened.name == json.loads(row.example)["platform"] == row.name


def test_the_connection_offers_the_platforms_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    (connection,) = get_provider_info()["connection-types"]
    field = connection["conn-fields"]["platform"]
    assert field["schema"]["enum"] == [row.name for row in registry.PLATFORMS]
    assert all(f"{row.name}: {row.says}." in field["description"] for row in registry.PLATFORMS)
    monkeypatch.delenv("AIRFLOW_CONN_NOWHERE", raising=False)
    with pytest.raises(BadInput, match="does not exist") as said:
        LLMServeHook("nowhere").settings()
    assert all(f"--conn-extra '{row.example}'" in str(said.value) for row in registry.PLATFORMS)


def test_each_row_is_a_module_of_that_name() -> None:
    assert [r.NAME for r in runtimes_of()] == [row.name for row in registry.RUNTIMES]
    assert runtimes_of()[:3] == (KUBEAI, *HUGGINGFACE)
    assert runtimes_of("huggingfaceserve")[:2] == HUGGINGFACE
    with pytest.raises(LookupError, match="no runtime 'knative'; known: kubeai, deployment, inferenceservice"):
        runtime("knative")


def test_the_kinds_of_serving_run_and_their_specs_are_those_of_the_registry() -> None:
    assert list(specs.KINDS) == list(names.KINDS) == list(dict.fromkeys(row.kind for row in registry.RUNTIMES))
    schema = HuggingFaceServe.model_json_schema()["properties"]["runtime"]
    assert (schema["enum"], schema["default"]) == (list(registry.names_of("huggingfaceserve")), "deployment")


def test_replay_finds_the_runtime_by_the_recording() -> None:
    for one in runtimes_of():
        assert assess_of(one.PRIMARY.kind, one.NAME) == one.assess
    for one in (KUBEAI, *HUGGINGFACE):
        assert assess_of(one.PRIMARY.kind) == one.assess
    with pytest.raises(LookupError, match="no runtime kubeai assesses a Deployment"):
        assess_of("Deployment", "kubeai")


def test_every_kind_of_object_is_listed() -> None:
    primaries = {r.PRIMARY for r in runtimes_of()}
    watched = {w.kind for r in runtimes_of() for w in r.watched("m")}
    assert primaries | watched <= set(KINDS.values())
    assert all(key == (kind.api_version, kind.kind) for key, kind in KINDS.items())


def test_reading_the_registry_imports_no_platform_and_no_runtime() -> None:
    """Every DAG file pays for it."""
    code = "import sys, airflow_provider_llmserve.names; print([m for m in sys.modules if 'platforms' in m or 'runtimes' in m or 'pydantic' in m])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
