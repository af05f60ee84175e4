"""Where a KubeAI model answers: the one gateway, by names; and the request that proves a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_llmserve.endpoint import AdapterName, Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes.kubeai.adapters import request_name
from airflow_provider_llmserve.runtimes.parts import Call
from airflow_provider_llmserve.runtimes.service_url import service_of
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

SERVER_PORT = 8000
"""Port of the container ``server`` of every engine."""

TEXT = "TextGeneration"
ROUTES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    TEXT: ("/completions", {"prompt": "The capital of France is", "max_tokens": 4, "temperature": 0, "seed": 0, "logprobs": 1}),
    "TextEmbedding": ("/embeddings", {"input": "ping"}),
    "Reranking": ("/rerank", {"query": "ping", "documents": ["ping"]}),
}
"""The smallest request that shows a feature. Text is asked for by ``/completions``, which needs no chat template; its log
probabilities tell an adapter's answer from the base's even where the words agree."""


def endpoint(spec: KubeAIText, *, identity: Identity, settings: Settings, observed: Observed) -> Endpoint:
    """The gateway's base URL and one request name for the model and for each adapter."""
    base_url = (settings.gateway_url or f"http://kubeai.{identity.namespace}.svc/openai/v1").rstrip("/")
    parts = urlsplit(base_url)
    service = f"{parts.scheme}://{parts.netloc}"
    return Endpoint(
        identity=identity,
        service=Service(url=service, urls=(service,)),
        openai_service=OpenAIService(
            base_url=base_url,
            model=identity.name,
            model_url=spec.url,
            engine=str(spec.engine),
            features=tuple(str(f) for f in spec.features),
            adapters=tuple(AdapterName(name=a.name) for a in spec.adapters),
            adapter_models={a.name: request_name(identity.name, a.name) for a in spec.adapters},
        ),
    )


def call(endpoint: Endpoint, ask: Ask) -> Call:
    """The smallest request that only a loaded model answers; for one pod, the list of what its server holds."""
    if ask.pod:
        return Call(method="GET", url="", path="/v1/models", pod=f"{ask.pod}:{SERVER_PORT}")
    service = endpoint.openai_service
    assert service is not None
    feature = ask.feature or next((f for f in service.features if f in ROUTES), TEXT)
    route, body = ROUTES[feature]
    parts = urlsplit(service.base_url)
    return Call(
        method="POST",
        url=f"{service.base_url}{route}",
        path=f"{parts.path}{route}",
        body={"model": ask.name, **body},
        service=service_of(service.base_url),
    )
