"""For generated specs, ours accepts what the API server's dry run accepts, CEL rules included, and the other way round."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.cluster import Cluster
from support.spec_strategies import kubeai_specs, raw_kubeai_specs

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.runtimes.kinds import CRD
from airflow_provider_llmserve.runtimes.kubeai import findings, render
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText
from airflow_provider_llmserve.specs.kubeai_rules import crd_findings

pytestmark = pytest.mark.cluster

BATCH = 50
SPECS = int(os.environ.get("LLMSERVE_FUZZ", "2000"))
STRICTER = (
    # What the CRD lets through and nothing serves, or what is no Model's business; each is named in the specs' reference.
    "no hyphen first or last",
    "a new version of an adapter is a new name",
    "speech to text is",
    "engine Infinity serves embeddings",
    "was trained on",
    "say what the model can do",
    "give the profile's name alone",
    "to serve nothing use StopOperator",
    "did you mean",
    "scaling.scale_down_delay_seconds: Input should be greater than or equal to 0",
    "scaling.load_balancing.prefix_hash.replication: Input should be greater than or equal to 1",
    "scaling.load_balancing.prefix_hash.prefix_char_length: Input should be greater than or equal to 1",
    "scaling.replicas: Input should be greater than or equal to 1",
)
CONNECTION = Settings(platform="kubernetes")
NAME = "models.kubeai.org"
Server = tuple[Cluster, str, dict[str, Any]]
"""The cluster, a namespace, and the CRD as it stands there."""
thorough = settings(
    max_examples=max(SPECS // BATCH // 2, 1),
    deadline=None,
    phases=[Phase.generate],  # a failure names its one spec; shrinking a batch would ask the API server thousands of times
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


def camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(word.title() for word in rest)


def plainly(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The Model that a raw spec asks for, field by field, without any rule of ours."""
    body: dict[str, Any] = {"engine": "VLLM", "features": ["TextGeneration"], "minReplicas": 1}
    renamed = {"secrets": "envFrom", "priority_class": "priorityClassName"}
    for key, value in raw.items():
        if key == "secrets":
            value = [{"secretRef": {"name": s}} for s in value]
        if key == "adapters":
            value = [{"name": a["name"], "url": a["url"]} for a in value]
        if key == "scaling":
            scaling = {camel(k): v for k, v in value.items() if k != "load_balancing"}
            balancing = value.get("load_balancing")
            if balancing is not None:
                scaling["loadBalancing"] = {camel(k): v for k, v in balancing.items()}
                if "prefixHash" in scaling["loadBalancing"]:
                    hashed = scaling["loadBalancing"]["prefixHash"]
                    scaling["loadBalancing"]["prefixHash"] = {camel(k): v for k, v in hashed.items()}
            body |= scaling
        elif key not in ("model_name", "profile", "processors") and value not in ([], None):
            body[renamed.get(key, camel(key))] = value
    body["resourceProfile"] = f"{raw.get('profile', 'cpu')}:{raw.get('processors', 1)}"
    return {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": name}, "spec": body}


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Server:
    crd = cluster.admin.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}")
    assert crd is not None
    return cluster, cluster.namespace(), crd


def refusals(server: Server, manifests: list[dict[str, Any]]) -> list[str]:
    """The API server's answer to each, empty where it accepts."""
    cluster, namespace, _ = server
    path = f"/apis/kubeai.org/v1/namespaces/{namespace}/models?dryRun=All&fieldValidation=Strict"

    def ask(manifest: dict[str, Any]) -> str:
        answer = cluster.admin.request("POST", path, {**manifest, "metadata": {"name": manifest["metadata"]["name"]}})
        assert answer.status_code in (201, 400, 422), answer.text
        return "" if answer.ok else answer.json()["message"]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, manifests))


def verdict(server: Server, spec: KubeAIText) -> tuple[list[str], list[str]]:
    """All that preflight finds, and the part of it that the API server has to refuse too: CEL rules and the CRD's own enums."""
    found = findings(spec, name=spec.object_name, settings=CONNECTION, facts=Facts({Lookup(CRD, NAME): server[2]}))
    return found, [*crd_findings(spec), *(f for f in found if "the cluster's KubeAI has no" in f)]


def rendered(spec: KubeAIText) -> dict[str, Any]:
    (model,) = render(spec, name=spec.object_name, namespace="x", stopped=False, settings=CONNECTION)
    return model


@thorough
@given(st.lists(kubeai_specs(), min_size=BATCH, max_size=BATCH))
def test_the_api_server_accepts_every_model_of_a_spec_without_findings(server: Server, specs: list[KubeAIText]) -> None:
    sound = [spec for spec in specs if not verdict(server, spec)[0]]
    for spec, refusal in zip(sound, refusals(server, [rendered(s) for s in sound]), strict=True):
        assert not refusal, f"{refusal}\n{spec!r}"


@thorough
@given(st.lists(raw_kubeai_specs(), min_size=BATCH, max_size=BATCH))
def test_ours_accepts_exactly_what_the_api_server_accepts(server: Server, raws: list[dict[str, Any]]) -> None:
    judged: list[tuple[list[str], list[str]]] = []
    manifests = []
    for raw in raws:
        try:
            spec = KubeAIText.parse(raw)
        except BadInput as e:
            found = list(e.findings)
            judged.append((found, [f for f in found if not any(words in f for words in STRICTER)]))
            name = re.sub(r"[^a-z0-9]+", "-", raw.get("model_name", "model").lower()).strip("-")
            manifests.append(plainly(raw, name or "-"))
        else:
            judged.append(verdict(server, spec))
            manifests.append(rendered(spec))
    for raw, (found, telling), refusal in zip(raws, judged, refusals(server, manifests), strict=True):
        if not found:
            assert not refusal, f"ours accepts, the API server does not: {refusal}\n{raw}"
        if telling:
            assert refusal, f"ours refuses, the API server does not: {telling}\n{raw}"
