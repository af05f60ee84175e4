"""One registry of runtimes, read by everyone, and modules that are what their row says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_llmserve import names, registry, specs
from airflow_provider_llmserve.replay.judge import assess_of
from airflow_provider_llmserve.runtimes import kubeai, runtime, runtimes_of
from airflow_provider_llmserve.runtimes.base import RuntimeOf
from airflow_provider_llmserve.runtimes.huggingface import deployment, inferenceservice
from airflow_provider_llmserve.runtimes.kinds import KINDS
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText

# mypy holds each module to its interface here.
KUBEAI: RuntimeOf[KubeAIText] = kubeai
HUGGINGFACE: tuple[RuntimeOf[HuggingFaceServe], ...] = (deployment, inferenceservice)


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


def test_reading_the_registry_imports_no_runtime() -> None:
    """Every DAG file pays for it."""
    code = "import sys, airflow_provider_llmserve.names; print([m for m in sys.modules if 'runtimes' in m or 'pydantic' in m])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
