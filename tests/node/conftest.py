"""The node tier's fixtures: one control plane and one real node for the session; tests keep apart by namespaces of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.cluster import Cluster, hook_for
from support.controlplane import MISSING, ControlPlane, find_binaries
from support.hf import Namespace
from support.kube import until
from support.left_out import leave_out
from support.realnode.images import build
from support.realnode.node import Node, binaries, what_is_missing
from support.realnode.registry import HOST, registry
from support.realnode.told import TOLD

from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.settings import Settings


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without root or the node's programs the tests that need one are left out, as one line says."""
    leave_out(config, items, "node", lambda: what_is_missing() or ("" if find_binaries() else MISSING))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # It configures logging when it is first imported, and a test's caplog would hear no more.
    import airflow.providers.cncf.kubernetes.hooks.kubernetes  # noqa: F401

    found = find_binaries()
    assert found is not None, MISSING
    plane = ControlPlane(found, Path(tmp_path_factory.mktemp("cp")), kwok=False)
    plane.start()
    try:
        yield Cluster(plane)
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def node(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A real node, Ready."""
    folder = Path(tmp_path_factory.mktemp("node"))
    images = build(Path(tmp_path_factory.mktemp("images")), binaries() / "bin" / "busybox-static")
    with registry() as address:
        one = Node(folder, control_plane.kubeconfig, images=images, registries={HOST: address})
        control_plane.plane.egress.own.append(one.address.removesuffix("1"))
        try:
            one.start()
            ready(control_plane, one)
            yield one
        finally:
            one.stop()


def ready(cluster: Cluster, node: Node) -> None:
    """Wait until the API server shows the node Ready, without the taints of one that is not."""

    def is_ready() -> bool:
        live = cluster.admin.get(f"/api/v1/nodes/{node.name}") or {}
        if (live.get("spec") or {}).get("taints"):
            return False
        return any((c["type"], c["status"]) == ("Ready", "True") for c in (live.get("status") or {}).get("conditions") or ())

    try:
        until(f"node {node.name} ready", is_ready, 60)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{node.why()}") from None


@pytest.fixture
def cluster(control_plane: Cluster, node: Node) -> Cluster:
    """The control plane with its node."""
    return control_plane


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of this test's own."""
    return cluster.namespace()


@pytest.fixture
def ns(cluster: Cluster, namespace: str) -> Namespace:
    """This test's namespace in the administrator's eyes."""
    return Namespace(cluster, namespace)


@pytest.fixture
async def platform(cluster: Cluster, namespace: str) -> AsyncIterator[KubernetesPlatform]:
    """The platform under test, outside the cluster."""
    settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as p:
        yield p
