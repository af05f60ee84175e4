"""The example DAGs, unchanged, with a connection whose platform is kubernetes: train to teardown, with real weights behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.cluster import Cluster
from support.kubeai_manager import KubeAI
from support.kubeai_serving import Site
from support.kubeai_world import World
from support.local_model import BASE, processes
from support.s3 import BUCKET, CONN_ID, S3Server, s3_server
from support.weights import Weights, weighty

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


async def demo(dag_id: str, home: Path, cluster: Cluster, namespace: str) -> tuple[str, dict[str, Any]]:
    """Run one example from outside the cluster; what it printed and what its tasks returned."""
    login = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(cluster.kubeconfig)}}
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "scripts/demo.py", dag_id),
        cwd=ROOT,
        env={
            **os.environ,
            "LLMSERVE_DEMO_HOME": str(home),
            "LLMSERVE_DEMO_ADAPTERS": f"s3://{BUCKET}/adapters",
            "LLMSERVE_DEMO_CONNECTION": json.dumps({"platform": "kubernetes", "namespace": namespace, "access": "api-server"}),
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(login),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(run.communicate(), PATIENCE)
    finally:
        if run.returncode is None:
            os.killpg(run.pid, signal.SIGKILL)  # Airflow's own processes too
    assert run.returncode == 0, said.decode() + (home / "airflow.log").read_text()[-8000:]
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
async def huggingfaceserver(cluster: Cluster, weights: Weights) -> AsyncIterator[None]:
    """What answers on port 8080 of every pod."""

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        if body["model"] != "writer":
            return web.json_response({"error": f"Model with name {body['model']} does not exist."}, status=404)
        status, answer = await weights.ask("writer", BASE, {}, None, request.match_info["route"], body)
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_post("/openai/v1/{route:.+}", complete)
    site = Site(app)
    await site.start()
    cluster.route("*:8080", site.port)
    yield
    del cluster.plane.egress.routes["*:8080"]
    await site.stop()


async def test_a_model_served_by_a_deployment_answers_and_leaves_nothing(
    cluster: Cluster, namespace: str, huggingfaceserver: None, home: Path
) -> None:
    printed, out = await demo("serve_huggingface", home, cluster, namespace)

    assert out["serve"]["identity"]["runtime"] == "deployment"
    assert out["ask"].strip()
    assert out["teardown"] is True
    assert "the last pod was gone" in printed
    for path in ("apis/apps/v1/namespaces/{}/deployments", "api/v1/namespaces/{}/pods", "api/v1/namespaces/{}/services"):
        assert cluster.admin.items("/" + path.format(namespace)) == []
