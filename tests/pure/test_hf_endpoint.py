"""Where a HuggingFace-serve model answers, in which protocol, and the request that proves it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe


def endpoint(observed: Observed | None = None, **fields: Any) -> Endpoint:
    spec = HuggingFaceServe.parse({"path": "hf://acme/bert", "model_name": "bert", **fields})
    runtime = runtime_for(spec)
    identity = Identity(
        platform="kubernetes", kind="huggingfaceserve", runtime=runtime.NAME, name="b", namespace="ns", uid="u", spec_hash="h"
    )
    settings = Settings(platform="kubernetes", namespace="ns")
    return runtime.endpoint(spec, identity=identity, settings=settings, observed=observed or Observed())


@pytest.mark.parametrize(
    ("task", "backend", "openai", "oip", "path"),
    [
        ("text_generation", None, True, False, "/openai/v1/completions"),
        ("text2text_generation", None, True, False, "/openai/v1/completions"),
        ("text_embedding", None, True, True, "/openai/v1/embeddings"),
        ("text_embedding", "VLLM", True, False, "/openai/v1/embeddings"),
        ("sequence_classification", None, False, True, "/v2/models/bert/infer"),
        ("token_classification", None, False, True, "/v2/models/bert/infer"),
        ("fill_mask", None, False, True, "/v2/models/bert/infer"),
        (None, None, True, True, "/v2/models/bert/ready"),
    ],
)
def test_protocols_and_proof_by_task(task: str | None, backend: str | None, openai: bool, oip: bool, path: str) -> None:
    found = endpoint(huggingface_task=task, backend=backend)
    assert (found.openai_service is not None, found.oip_url is not None) == (openai, oip)
    runtime = runtime_for(HuggingFaceServe.parse({"path": "hf://a/b"}))
    call = runtime.call(found, Ask("bert"))
    assert call.path == path
    assert call.url == f"http://b.ns.svc:8080{path}"
    assert call.service == "ns/b:8080"
    assert (call.method, call.body is None) == (("GET", True) if path.endswith("ready") else ("POST", False))
    one_pod = runtime.call(found, Ask("bert", pod="b-1"))
    assert (one_pod.pod, one_pod.url, one_pod.service) == ("b-1:8080", "", "")


def test_openai_face() -> None:
    service = endpoint(huggingface_task="text_generation", backend="VLLM").openai_service
    assert service is not None
    assert (service.base_url, service.model, service.model_url) == ("http://b.ns.svc:8080/openai/v1", "bert", "hf://acme/bert")
    assert (service.engine, service.features) == ("VLLM", ("TextGeneration",))


def test_images_before_0_15_have_no_openai_embeddings() -> None:
    old = endpoint(huggingface_task="text_embedding", image="kserve/huggingfaceserver:v0.14.1")
    assert old.openai_service is None
    assert old.oip_url
    assert endpoint(huggingface_task="text_embedding", image="kserve/huggingfaceserver:v0.15.2").openai_service


def test_a_masked_text_fits_both_kinds_of_tokenizer() -> None:
    runtime = runtime_for(HuggingFaceServe.parse({"path": "hf://a/b"}))
    body = runtime.call(endpoint(huggingface_task="fill_mask"), Ask("bert")).body
    assert body is not None
    (tensor,) = body["inputs"]
    assert "[MASK]" in tensor["data"][0]
    assert "<mask>" in tensor["data"][0]
    assert tensor["shape"] == [len(tensor["data"])]


def test_urls_of_the_alias_and_of_the_load_balancer() -> None:
    balancer = {
        "kind": "Service",
        "metadata": {"name": "b"},
        "spec": {"externalIPs": ["10.1.1.1"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.com"}, {"ip": "2001:db8::1"}]}},
    }
    found = endpoint(Observed(objects=(balancer,)), service_name="front", service_type="LoadBalancer").service
    assert found.url == "http://b.ns.svc:8080"
    assert found.urls == (
        "http://b.ns.svc:8080",
        "http://front.ns.svc:8080",
        "http://192.0.2.7:8080",
        "http://lb.example.com:8080",
        "http://[2001:db8::1]:8080",
        "http://10.1.1.1:8080",
    )


def test_address_of_an_inference_service() -> None:
    runtime = runtime_for(HuggingFaceServe.parse({"path": "hf://a/b", "runtime": "inferenceservice"}))
    before = endpoint(runtime="inferenceservice", huggingface_task="fill_mask")
    assert before.service.url == "http://b-predictor.ns.svc.cluster.local"
    assert runtime.call(before, Ask("bert")).service == "ns/b-predictor:80"
    status = {"address": {"url": "http://b-predictor.ns.svc.cluster.local:8080"}, "url": "http://b.example.com"}
    live = {"kind": "InferenceService", "metadata": {"name": "b"}, "status": status}
    headless = endpoint(Observed(objects=(live,)), runtime="inferenceservice", huggingface_task="fill_mask")
    assert headless.service.urls == ("http://b-predictor.ns.svc.cluster.local:8080", "http://b.example.com")
    assert runtime.call(headless, Ask("bert")).service == "ns/b-predictor:8080"
    assert headless.oip_url == headless.service.url


def test_endpoint_survives_xcom() -> None:
    found = endpoint(huggingface_task="text_embedding")
    assert Endpoint.of(found.to_xcom()) == found
