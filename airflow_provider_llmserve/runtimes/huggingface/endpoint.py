"""Where a HuggingFace-serve model answers, in which protocols, and the request that proves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.endpoint import Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes.huggingface.command_line import backend_of
from airflow_provider_llmserve.runtimes.huggingface.flags import PREDICT_TASKS, Version
from airflow_provider_llmserve.runtimes.huggingface.pod_template import HTTP_PORT
from airflow_provider_llmserve.runtimes.parts import Call
from airflow_provider_llmserve.runtimes.service_url import service_of
from airflow_provider_llmserve.specs import HuggingFaceServe

GENERATION_TASKS = frozenset({"text_generation", "text2text_generation"})
EMBEDDING = "text_embedding"

_TEXTS: Mapping[str, str] = {
    # BERT's mask token and RoBERTa's: a text without the model's own gets 500.
    "fill_mask": "The capital of France is [MASK] <mask>.",
}
_PROBE_TEXT = "The capital of France is Paris."


def endpoint(spec: HuggingFaceServe, *, identity: Identity, urls: tuple[str, ...], version: Version | None) -> Endpoint:
    """The endpoint at ``urls`` (the first is the one to use, each without a path and without a slash at its end)."""
    url = urls[0]
    task = spec.huggingface_task
    openai = None
    if task is None or task in GENERATION_TASKS or (task == EMBEDDING and _serves_embeddings(version)):
        openai = OpenAIService(
            base_url=f"{url}/openai/v1",
            model=spec.model_name,
            model_url=spec.path,
            engine=backend_of(spec).upper(),
            features=tuple(_features(task)),
        )
    speaks_oip = task is None or task in PREDICT_TASKS or (task == EMBEDDING and backend_of(spec) != "vllm")
    return Endpoint(
        identity=identity,
        service=Service(url=url, urls=urls),
        openai_service=openai,
        oip_url=url if speaks_oip else None,
        oip_model=spec.model_name if speaks_oip else None,
        task=task,
    )


def call(endpoint: Endpoint, ask: Ask) -> Call:
    """The smallest request of the task that only a loaded model answers; of one pod, whether its model is ready.

    Where the spec names no task the server infers one that is not known here: then the model's own readiness is asked.
    """
    model = ask.name
    # Of one pod the right to get is asked for, no more: whether its server holds the model, ready.
    method, path, body = ("GET", f"/v2/models/{model}/ready", None) if ask.pod else _request(endpoint, model)
    return Call(
        method="GET" if method == "GET" else "POST",
        url="" if ask.pod else endpoint.service.url + path,
        path=path,
        body=body,
        service="" if ask.pod else service_of(endpoint.service.url),
        pod=f"{ask.pod}:{HTTP_PORT}" if ask.pod else "",
    )


def outside_urls(service: Object | None) -> tuple[str, ...]:
    """Addresses of a Service from outside the cluster, as far as its own object says them.

    A node port answers on every node, but which address of a node leads there is not the Service's to say; so it has no URL.
    """
    return tuple(dict.fromkeys(_outside(service or {})))


def _outside(service: Object) -> Iterator[str]:
    status = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    for ingress in status:
        host = ingress.get("hostname") or ingress.get("ip")
        if host:
            yield f"http://{_bracketed(host)}:{HTTP_PORT}"
    for ip in (service.get("spec") or {}).get("externalIPs") or []:
        yield f"http://{_bracketed(ip)}:{HTTP_PORT}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def probe_text(task: str) -> str:
    """A text that any model of ``task`` can answer."""
    return _TEXTS.get(task, _PROBE_TEXT)


def _request(endpoint: Endpoint, model: str) -> tuple[str, str, dict[str, Any] | None]:
    task = endpoint.task
    if task in GENERATION_TASKS:
        return "POST", "/openai/v1/completions", {"model": model, "prompt": _PROBE_TEXT, "max_tokens": 1}
    if task == EMBEDDING and endpoint.openai_service is not None:
        return "POST", "/openai/v1/embeddings", {"model": model, "input": _PROBE_TEXT}
    if task is None:
        return "GET", f"/v2/models/{model}/ready", None
    texts = [probe_text(task)]
    tensor = {"name": "input-0", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return "POST", f"/v2/models/{model}/infer", {"inputs": [tensor]}


def _features(task: str | None) -> Iterator[str]:
    """DigitalHub's words for what the OpenAI face can do; none where the task is not known."""
    if task in GENERATION_TASKS:
        yield "TextGeneration"
    elif task == EMBEDDING:
        yield "TextEmbedding"


def _serves_embeddings(version: Version | None) -> bool:
    """``/openai/v1/embeddings`` came with KServe 0.15."""
    return version is None or version >= (0, 15)
