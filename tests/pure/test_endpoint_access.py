"""Which URLs are Services of a cluster, as the API server's proxy names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.runtimes.service_url import service_of

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("http://kubeai.serving.svc/openai/v1", "serving/kubeai:80"),
        ("http://kubeai.serving.svc.cluster.local:8000/openai/v1", "serving/kubeai:8000"),
        ("http://bert-predictor.serving.svc.cluster.local", "serving/bert-predictor:80"),
        ("https://kubeai.serving.svc/openai/v1", "serving/https:kubeai:443"),
        ("https://kubeai.serving.svc:8443", "serving/https:kubeai:8443"),
        ("http://KubeAI.Serving.svc", "serving/kubeai:80"),
        ("http://kubeai.example.com/openai/v1", ""),
        ("http://kubeai.serving", ""),
        ("http://kubeai.serving.svcs", ""),
        ("http://a.kubeai.serving.svc", ""),
        ("http://127.0.0.1:8000/v1", ""),
        ("http://[fe80::1]:8000/v1", ""),
        ("", ""),
    ],
)
def test_services_of_the_cluster(url: str, service: str) -> None:
    assert service_of(url) == service


@given(LABELS, LABELS, st.integers(1, 65535), st.sampled_from(["", ".cluster.local", ".k8s.acme.org"]))
def test_name_namespace_and_port_come_back(name: str, namespace: str, port: int, domain: str) -> None:
    assert service_of(f"http://{name}.{namespace}.svc{domain}:{port}/v1") == f"{namespace}/{name}:{port}"


def test_a_direct_endpoint_says_nothing_of_an_api_server() -> None:
    identity = {"platform": "local", "kind": "kubeai-text", "runtime": "local", "name": "m", "uid": "u", "specHash": "h"}
    endpoint = Endpoint.of({"identity": identity, "service": {"url": "http://127.0.0.1:1"}})
    assert "apiServer" not in endpoint.to_xcom()["service"]
    reached = endpoint.service.model_copy(update={"api_server": "outside"})
    carried = endpoint.model_copy(update={"service": reached}).to_xcom()
    assert carried["service"]["apiServer"] == "outside"
    assert Endpoint.of(carried).service.api_server == "outside"
