"""The cluster tier's fixtures. One control plane serves the whole session; tests keep apart by namespaces of their own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.answers import Answers, answering
from support.cluster import Cluster, hook_for
from support.controlplane import MISSING, ControlPlane, find_binaries
from support.hf import Namespace
from support.kubeai_manager import KubeAI
from support.kubeai_run import FATES
from support.kubeai_world import World
from support.left_out import leave_out
from support.toy_runtime import ToyRuntime

from airflow_provider_llmserve import registry
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.runtimes.record_home import IN_ANNOTATIONS, IN_CONFIG_MAP
from airflow_provider_llmserve.settings import Settings


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a control plane the tests that need one are left out, as one line says."""
    leave_out(config, items, "cluster", lambda: "" if find_binaries() else MISSING)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # It configures logging when it is first imported, and a test's caplog would hear no more.
    import airflow.providers.cncf.kubernetes.hooks.kubernetes  # noqa: F401

    binaries = find_binaries()
    assert binaries is not None, MISSING
    plane = ControlPlane(binaries, Path(tmp_path_factory.mktemp("cp")))
    plane.start()
    try:
        yield Cluster(plane)
    finally:
        plane.stop()


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of this test's own."""
    return cluster.namespace()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """The client under test, logged in as administrator."""
    async with Client(hook_for(cluster.kubeconfig)) as c:
        yield c


@pytest.fixture(params=[IN_ANNOTATIONS, IN_CONFIG_MAP], ids=["annotations", "config-map"])
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ToyRuntime:
    """The toy in the deployment runtime's place, once for each way of keeping the record."""
    module = ToyRuntime(request.param)
    monkeypatch.setitem(sys.modules, "airflow_provider_llmserve.runtimes.huggingface.deployment", module)  # type: ignore[arg-type]
    monkeypatch.setattr(registry, "RUNTIMES", tuple(row for row in registry.RUNTIMES if row.name == "deployment"))
    return module


@pytest.fixture
def settings(namespace: str) -> Settings:
    return Settings(platform="kubernetes", namespace=namespace, access="api-server")


@pytest.fixture
async def platform(cluster: Cluster, settings: Settings, toy: ToyRuntime) -> AsyncIterator[KubernetesPlatform]:
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as p:
        yield p


@pytest.fixture
def ns(cluster: Cluster, namespace: str) -> Namespace:
    """This test's namespace in the administrator's eyes."""
    return Namespace(cluster, namespace)


@pytest.fixture
async def model(cluster: Cluster) -> AsyncIterator[Answers]:
    """What every pod answers at port 8080."""
    async with answering(text='{"outputs": [{"name": "output-0", "datatype": "INT64", "shape": [1], "data": [1]}]}') as answers:
        cluster.route("*:8080", answers.port)
        yield answers
        cluster.plane.egress.routes.pop("*:8080", None)


@pytest.fixture
async def hf_platform(cluster: Cluster, settings: Settings, node: str, model: Answers) -> AsyncIterator[KubernetesPlatform]:
    """The platform under test with the real runtimes of HuggingFace-serve, beside a model that answers."""
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as p:
        yield p


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    name = cluster.node()
    yield name
    cluster.remove_node(name)


@pytest.fixture(scope="module")
def cpu_node(cluster: Cluster) -> Iterator[str]:
    """A node without GPUs for all tests of a file."""
    name = cluster.node(gpus=0)
    yield name
    cluster.remove_node(name)


@pytest.fixture
def world() -> World:
    """What the stand-in's registry, hub and servers do in this test."""
    return World(fates=dict(FATES))


@pytest.fixture
async def kubeai(cluster: Cluster, namespace: str, world: World) -> AsyncIterator[KubeAI]:
    """The stand-in for KubeAI's manager in this test's namespace."""
    async with KubeAI(cluster, namespace, world=world) as k:
        yield k


@pytest.fixture
async def kubeai_platform(cluster: Cluster, namespace: str, kubeai: KubeAI, cpu_node: str) -> AsyncIterator[KubernetesPlatform]:
    """The platform under test beside it."""
    settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as p:
        yield p
