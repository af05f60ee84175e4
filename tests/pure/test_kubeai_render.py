"""Spec to Model: golden manifests, and what holds for every spec."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from support.spec_strategies import kubeai_specs

from airflow_provider_llmserve.runtimes.kubeai.render import render
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

GOLDEN = Path(__file__).parent / "golden" / "kubeai"
CONNECTION = Settings(platform="kubernetes", namespace="serving")

SPECS = {
    "least": {"url": "hf://acme/base-7b"},
    "everything": {
        "url": "s3://models/base-7b",
        "model_name": "Support",
        "image": "registry.example.com/vllm/vllm-openai:v0.10.1",
        "engine": "VLLM",
        "features": ["TextGeneration", "TextEmbedding"],
        "adapters": [
            {
                "name": "tuned-3f9a2c1d",
                "url": "s3://models/adapters/3f9a2c1d",
                "rank": 16,
                "base_model": "acme/base-7b",
                "size": 9,
            },
            {"name": "law", "url": "hf://acme/lora-law-v1"},
        ],
        "profile": "gpu",
        "processors": 2,
        "args": ["--max-model-len=4096", "--max-loras=2", "--max-lora-rank=16"],
        "env": {"B": "2", "A": "1"},
        "files": [{"path": "/config/chat.jinja", "content": "{{ messages }}"}],
        "secrets": ["hub"],
        "cache_profile": "shared",
        "priority_class": "serving",
        "scaling": {
            "min_replicas": 0,
            "max_replicas": 3,
            "target_requests": 10,
            "scale_down_delay_seconds": 60,
            "load_balancing": {"strategy": "PrefixHash", "prefix_hash": {"mean_load_factor": 150}},
        },
    },
    "pinned": {"url": "ollama://gemma2:2b", "engine": "OLlama", "scaling": {"autoscaling_disabled": True, "replicas": 3}},
    "embeddings": {"url": "hf://acme/e5", "engine": "Infinity", "features": ["TextEmbedding"]},
}


def rendered(spec: KubeAIText, *, stopped: bool = False) -> dict:
    (model,) = render(spec, name=spec.object_name, namespace="serving", stopped=stopped, settings=CONNECTION)
    return model


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_golden_manifest(name: str, stopped: bool) -> None:
    """LLMSERVE_REWRITE_GOLDEN=1 rewrites the files; the diff is reviewed."""
    text = yaml.safe_dump(rendered(KubeAIText.parse(SPECS[name]), stopped=stopped), sort_keys=True)
    file = GOLDEN / f"{name}{'-stopped' if stopped else ''}.yaml"
    if os.environ.get("LLMSERVE_REWRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@settings(max_examples=100, deadline=None)
@given(kubeai_specs())
def test_what_kubeai_insists_on_and_what_is_not_ours(spec: KubeAIText) -> None:
    for stopped in (False, True):
        body = rendered(spec, stopped=stopped)["spec"]
        assert "minReplicas" in body, "the CRD's rule on maxReplicas fails without it"
        fixed = stopped or spec.scaling.autoscaling_disabled
        assert ("replicas" in body) == fixed == body.get("autoscalingDisabled", False), "replicas are the autoscaler's"
        assert body.get("adapters") != [], "any engine but vLLM refuses even an empty list"
        assert body["resourceProfile"] == f"{spec.profile}:{spec.processors}"


@settings(max_examples=100, deadline=None)
@given(kubeai_specs())
def test_rendering_is_deterministic(spec: KubeAIText) -> None:
    assert rendered(spec) == rendered(KubeAIText.parse(spec.to_json()))


def test_stopping_keeps_the_scaling() -> None:
    body = rendered(KubeAIText.parse(SPECS["everything"]), stopped=True)["spec"]
    assert (body["autoscalingDisabled"], body["replicas"]) == (True, 0)
    assert (body["minReplicas"], body["maxReplicas"], body["targetRequests"]) == (0, 3, 10)
