"""Where a KubeAI model answers, and the request that proves a name."""

from __future__ import annotations

import pytest

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes.kubeai import call, endpoint
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText


def made(spec: dict, gateway_url: str | None = None) -> Endpoint:
    identity = Identity(
        platform="kubernetes", kind="kubeai-text", runtime="kubeai", name="support", namespace="ai", uid="u", spec_hash="h"
    )
    settings = Settings(platform="kubernetes", namespace="ai", gateway_url=gateway_url)
    return endpoint(KubeAIText.parse(spec), identity=identity, settings=settings, observed=Observed())


def test_names_and_addresses() -> None:
    got = made({"url": "hf://acme/base", "adapters": [{"name": "law", "url": "hf://acme/law"}]})
    assert got.openai_service is not None
    assert got.openai_service.base_url == "http://kubeai.ai.svc/openai/v1"
    assert got.service.url == "http://kubeai.ai.svc"
    assert got.served_names() == ("support", "support_law")
    assert got.openai_service.adapter_models == {"law": "support_law"}
    assert got.openai_service.model_url == "hf://acme/base"


def test_a_gateway_of_the_callers_own() -> None:
    got = made({"url": "hf://acme/base"}, "https://models.example.com/openai/v1/")
    request = call(got, Ask("support"))
    assert request.url == "https://models.example.com/openai/v1/completions"
    assert request.service == "", "what is outside the cluster has no way through the API server"


@pytest.mark.parametrize(
    ("features", "engine", "route"),
    [
        (["TextGeneration", "TextEmbedding"], "VLLM", "/completions"),
        (["TextEmbedding"], "Infinity", "/embeddings"),
        (["Reranking"], "Infinity", "/rerank"),
    ],
)
def test_the_request_fits_what_the_model_can_do(features: list[str], engine: str, route: str) -> None:
    request = call(made({"url": "hf://acme/base", "engine": engine, "features": features}), Ask("support"))
    assert (request.method, request.path) == ("POST", f"/openai/v1{route}")
    assert request.service == "ai/kubeai:80"
    assert request.body is not None
    assert request.body["model"] == "support"


@pytest.mark.parametrize(
    ("feature", "route"), [("TextGeneration", "/completions"), ("TextEmbedding", "/embeddings"), ("Reranking", "/rerank")]
)
def test_a_feature_is_shown_by_its_own_route(feature: str, route: str) -> None:
    every = made({"url": "hf://acme/base", "features": ["TextGeneration", "TextEmbedding", "Reranking"]})
    assert call(every, Ask("support", feature=feature)).path == f"/openai/v1{route}"


def test_one_pod_is_asked_what_its_server_holds() -> None:
    request = call(made({"url": "hf://acme/base"}), Ask("support", pod="model-support-1-x"))
    assert (request.method, request.path, request.pod, request.service) == ("GET", "/v1/models", "model-support-1-x:8000", "")
