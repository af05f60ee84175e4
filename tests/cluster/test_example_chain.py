"""The example DAGs, unchanged, with a connection whose platform is kubernetes: train to teardown, with real weights behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster
from support.kserve_controller import KServe
from support.kubeai_manager import KubeAI
from support.kubeai_serving import Site
from support.kubeai_world import World
from support.local_model import BASE, processes
from support.s3 import BUCKET, CONN_ID, S3Server, s3_server
from support.weights import Weights, huggingfaceserver, weighty

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300
"""Seconds for a whole run; most of them are the training's."""


@pytest.fixture(scope="module", autouse=True)
def node(cluster: Cluster) -> Iterator[str]:
    name = cluster.node()
    yield name
    cluster.remove_node(name)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A store that ``aws_default`` leads to."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", server.connection(CONN_ID))
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
async def weights(tmp_path: Path) -> AsyncIterator[Weights]:
    async with Weights(tmp_path / "weights") as held:
        yield held
    assert processes(str(tmp_path / "weights")) == []


def connections(cluster: Cluster, namespace: str) -> dict[str, dict[str, Any]]:
    """Of a worker outside the cluster."""
    extra = {"platform": "kubernetes", "namespace": namespace, "access": "api-server"}
    return {
        "llmserve_default": {"conn_type": "llmserve", "extra": extra},
        "kubernetes_default": {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(cluster.kubeconfig)}},
    }


async def demo(dag_id: str, home: Path, cluster: Cluster, namespace: str, **environment: str) -> tuple[str, dict[str, Any]]:
    """Run one example from outside the cluster; what it printed and what its tasks returned."""
    known = connections(cluster, namespace)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "scripts/demo.py", dag_id),
        cwd=ROOT,
        env={
            **os.environ,
            "LLMSERVE_DEMO_HOME": str(home),
            "LLMSERVE_DEMO_ADAPTERS": f"s3://{BUCKET}/adapters",
            "LLMSERVE_DEMO_CONNECTION": json.dumps(known["llmserve_default"]["extra"]),
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(known["kubernetes_default"]),
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # Airflow's own processes too
    assert process.returncode == 0, said.decode() + (home / "airflow.log").read_text()[-8000:]
    return said.decode(), json.loads((home / "outputs.json").read_text())


async def test_an_adapter_trained_uploaded_served_by_kubeai_judged_and_torn_down(
    cluster: Cluster, namespace: str, s3: S3Server, weights: Weights, home: Path
) -> None:
    async with KubeAI(cluster, namespace, world=World(server=weighty(weights, BASE))) as kubeai:
        printed, out = await demo("refresh_adapter", home, cluster, namespace)
        served = [server for server in kubeai.servers.values() if out["upload"]["name"] in server.adapters]

    assert out["upload"]["url"].startswith(f"s3://{BUCKET}/adapters/")
    assert [server.adapters for server in served] == [{out["upload"]["name"]: out["upload"]["url"]}]

    endpoint = out["serve"]
    assert (endpoint["identity"]["platform"], endpoint["identity"]["runtime"]) == ("kubernetes", "kubeai")
    assert endpoint["openai"]["baseUrl"] == f"http://kubeai.{namespace}.svc/openai/v1"
    assert endpoint["service"]["apiServer"] == "kubernetes_default"
    assert endpoint["openai"]["adapterModels"] == {out["upload"]["name"]: f"support_{out['upload']['name']}"}

    base, tuned = out["evaluate_base"], out["evaluate_adapter"]
    assert base["metrics"]["exact_match"]["mean"] <= 0.1
    assert tuned["metrics"]["exact_match"]["mean"] >= 0.7
    assert tuned["verdict"] == "passed"
    assert tuned["errors"]["total"] == base["errors"]["total"] == 0

    assert out["teardown"] is True
    assert "the last pod was gone" in printed
    assert cluster.admin.items(f"/apis/kubeai.org/v1/namespaces/{namespace}/models") == []
    assert cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=model%3Dsupport") == []


@pytest.fixture
async def pods(cluster: Cluster, namespace: str, weights: Weights) -> AsyncIterator[None]:
    """The one pod of the namespace answers on its port 8080."""
    site = Site(huggingfaceserver(weights, lambda: cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods")[0]))
    await site.start()
    cluster.route("*:8080", site.port)
    yield
    del cluster.plane.egress.routes["*:8080"]
    await site.stop()


def nothing_left(cluster: Cluster, namespace: str) -> bool:
    kinds = ("apis/apps/v1/{}/deployments", "api/v1/{}/pods", "api/v1/{}/services", "api/v1/{}/secrets")
    return not any(cluster.admin.items("/" + kind.format(f"namespaces/{namespace}")) for kind in kinds)


@pytest.mark.parametrize("runtime", ["deployment", "inferenceservice"])
async def test_a_classifier_trained_served_judged_and_torn_down(
    runtime: str, cluster: Cluster, namespace: str, s3: S3Server, pods: None, home: Path
) -> None:
    variables = s3_login(s3) | {"AIRFLOW_VAR_LLMSERVE_RUNTIME": runtime}
    with KServe(cluster, namespace) if runtime == "inferenceservice" else nullcontext():
        printed, out = await demo("classify", home, cluster, namespace, **variables)

    endpoint = out["serve"]
    assert endpoint["identity"]["runtime"] == runtime
    assert endpoint["service"]["apiServer"] == "kubernetes_default"
    assert out["train"]["url"].startswith(f"s3://{BUCKET}/")
    assert out["evaluate"]["metrics"]["accuracy"]["mean"] >= 0.85
    assert [sorted(one["scores"]) for one in out["ask"]] == [["0", "1", "2", "3"]] * 2
    assert out["teardown"] is True
    assert "the last pod was gone" in printed
    assert cluster.admin.items(f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices") == []
    assert nothing_left(cluster, namespace)


def s3_login(s3: S3Server) -> dict[str, str]:
    """The machine's own credentials, which a path without a connection uses."""
    connection = json.loads(s3.connection(CONN_ID))
    return {
        "AWS_ACCESS_KEY_ID": connection["login"],
        "AWS_SECRET_ACCESS_KEY": connection["password"],
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AIRFLOW_VAR_LLMSERVE_MODELS": f"s3://{BUCKET}/classifiers",
    }
