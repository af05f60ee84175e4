"""The endpoint: keys on the wire, request names, ready clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput

WIRE: dict[str, Any] = {
    "identity": {"platform": "kubernetes", "kind": "kubeai-text", "runtime": "kubeai", "name": "m", "uid": "u", "specHash": "h"},
    "service": {"url": "http://kubeai.ns.svc/openai", "urls": ["http://kubeai.ns.svc/openai/v1/models"]},
    "openai": {
        "baseUrl": "http://kubeai.ns.svc/openai/v1",
        "model": "m",
        "modelUrl": "hf://a/b",
        "engine": "VLLM",
        "features": ["TextGeneration"],
        "adapters": [{"name": "tuned-3f9a2c1d"}, {"name": "my-lora"}],
        "adapterModels": {"tuned-3f9a2c1d": "m_tuned-3f9a2c1d", "my-lora": "m_my-lora"},
    },
}


def test_the_wire_has_digitalhubs_keys_and_survives_xcom() -> None:
    endpoint = Endpoint.of(json.loads(json.dumps(WIRE)))
    again = json.loads(json.dumps(endpoint.to_xcom()))
    assert Endpoint.of(again) == endpoint
    assert set(WIRE["openai"]) <= set(again["openai"])
    assert set(WIRE["service"]) <= set(again["service"])


@pytest.mark.parametrize(
    ("adapter", "name"),
    [(None, "m"), ("tuned-3f9a2c1d", "m_tuned-3f9a2c1d"), ("tuned", "m_tuned-3f9a2c1d"), ("my-lora", "m_my-lora")],
)
def test_request_names(adapter: str | None, name: str) -> None:
    assert Endpoint.of(WIRE).request_name(adapter) == name


@pytest.mark.parametrize("adapter", ["my", "tun", "tuned-3f9a2c1e", ""])
def test_an_unknown_adapter_names_those_there_are(adapter: str) -> None:
    with pytest.raises(BadInput, match="served adapters: my-lora, tuned-3f9a2c1d"):
        Endpoint.of(WIRE).request_name(adapter)


def test_a_stem_of_two_versions_is_ambiguous() -> None:
    two = {**WIRE["openai"], "adapterModels": {"tuned-00000001": "m_tuned-00000001", "tuned-00000002": "m_tuned-00000002"}}
    with pytest.raises(BadInput, match="several adapters"):
        Endpoint.of({**WIRE, "openai": two}).request_name("tuned")


def test_clients_point_at_the_base_url_and_need_no_key() -> None:
    endpoint = Endpoint.of(WIRE)
    assert str(endpoint.openai().base_url) == "http://kubeai.ns.svc/openai/v1/"
    assert endpoint.async_openai(timeout=3).timeout == 3
    assert endpoint.served_names() == ("m", "m_tuned-3f9a2c1d", "m_my-lora")


def test_a_classifier_speaks_no_openai() -> None:
    endpoint = Endpoint.of({k: v for k, v in WIRE.items() if k != "openai"} | {"task": "sequence_classification"})
    with pytest.raises(BadInput, match=r"endpoint\.oip\(\)"):
        endpoint.openai()


@pytest.mark.parametrize(("value", "word"), [({}, "identity"), ("x", "endpoint"), ({**WIRE, "token": "s"}, "token")])
def test_what_is_no_endpoint_says_where(value: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        Endpoint.of(value)
