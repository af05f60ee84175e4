"""Every InferenceService that we render is one that KServe's published schema takes, asked of the API server by dry run.

The published CRD is installed under a group of the test's own, so that the others keep the open one that the stand-in uses. What
KServe's webhooks refuse beyond the schema is not asked here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from support.cluster import Cluster
from support.kube import until
from support.spec_strategies import huggingface_mappings

from airflow_provider_llmserve.runtimes.huggingface import inferenceservice
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

pytestmark = pytest.mark.cluster

EXAMPLES = int(os.environ.get("LLMSERVE_FUZZ", "2000"))
CRD = Path(__file__).parents[3] / "shared" / "testbed" / "crds" / "serving.kserve.io_inferenceservices.yaml"
GROUP = "published.llmserve.test"


@pytest.fixture(scope="module")
def path(cluster: Cluster) -> str:
    """Where dry runs go."""
    if not CRD.is_file():
        pytest.skip("KServe's published CRD is not beside the checkout (../shared/testbed/crds)")
    crd = yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    crd["metadata"] = {"name": f"inferenceservices.{GROUP}"}
    crd["spec"] = {**crd["spec"], "group": GROUP, "conversion": {"strategy": "None"}}
    crd.pop("status", None)
    cluster.admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    path = f"/apis/{GROUP}/v1beta1/namespaces/{cluster.namespace()}/inferenceservices"
    until("the published kind is served", lambda: cluster.admin.request("GET", path).ok)
    return path


def refusal(cluster: Cluster, path: str, manifest: dict[str, Any]) -> str:
    """What the API server says against it; empty where it takes it."""
    asked = {**manifest, "apiVersion": f"{GROUP}/v1beta1"}
    answer = cluster.admin.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", asked)
    return "" if answer.ok else str(answer.json()["message"])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=huggingface_mappings())
def test_what_we_render_is_accepted(cluster: Cluster, path: str, raw: dict[str, Any]) -> None:
    fields = {k: v for k, v in raw.items() if k not in ("service_type", "service_name", "profile")}
    spec = HuggingFaceServe.parse({**fields, "runtime": "inferenceservice"})
    namespace = path.split("/")[-2]
    rendered = inferenceservice.render(
        spec, name="b", namespace=namespace, stopped=False, settings=Settings(platform="kubernetes")
    )
    manifest = {**rendered[0], "metadata": {**rendered[0]["metadata"], "namespace": namespace}}
    assert refusal(cluster, path, manifest) == ""


def test_an_unknown_field_is_refused(cluster: Cluster, path: str) -> None:
    manifest = {"kind": "InferenceService", "metadata": {"name": "b"}, "spec": {"predictor": {"minReplica": 1}}}
    assert "minReplica" in refusal(cluster, path, manifest)
