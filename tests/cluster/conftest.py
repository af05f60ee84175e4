"""The cluster tier's fixtures. One control plane serves the whole session; tests keep apart by namespaces of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.cluster import Cluster, hook_for
from support.controlplane import MISSING, ControlPlane, find_binaries

from airflow_provider_llmserve.platforms.kubernetes.client import Client


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(MISSING)
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
