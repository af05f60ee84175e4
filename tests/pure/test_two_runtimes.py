"""Two runtimes that make objects of one kind: whose an object is tells its record, and never its kind."""

from __future__ import annotations

import sys
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_llmserve import registry
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes import live, preflight
from airflow_provider_llmserve.platforms.kubernetes.client import Listing
from airflow_provider_llmserve.runtimes import runtime, runtimes_of
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.kinds import Kind
from airflow_provider_llmserve.runtimes.record import MANAGED_BY, Record
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KINDS

SETTINGS = Settings(platform="kubernetes", namespace="ns")
PAIRS = [(a.NAME, b.NAME) for a, b in permutations(runtimes_of(), 2) if a.PRIMARY == b.PRIMARY]
MADE_UP = [(row.name, "sibling") for row in registry.RUNTIMES]
"""Each with a sibling that stands in no registry, so that there is a pair of every kind."""


class Cluster:
    """One object, and the ConfigMap of its record where it has one."""

    def __init__(self, *objects: Any) -> None:
        self._objects = [o for o in objects if o is not None]

    async def get(self, kind: Kind, namespace: str, name: str) -> Any:
        found = [o for o in self._objects if (o["kind"], o["metadata"]["name"]) == (kind.kind, name)]
        return found[0] if found else None

    async def list(self, kind: Kind, namespace: str, **_: Any) -> Listing:
        return Listing(tuple(o for o in self._objects if o["kind"] == kind.kind), "1")


@pytest.fixture(params=[*PAIRS, *MADE_UP], ids="-".join)
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Runtime, Runtime]:
    """A runtime, and another that makes objects of the same kind."""
    first, second = request.param
    if second == "sibling":
        kind = next(row.kind for row in registry.RUNTIMES if row.name == first)
        module = SimpleNamespace(**{**vars(runtime(first)), "NAME": "sibling"})
        monkeypatch.setitem(sys.modules, "airflow_provider_llmserve.runtimes.sibling", module)  # type: ignore[arg-type]
        monkeypatch.setattr(registry, "RUNTIMES", (*registry.RUNTIMES, registry.Row("sibling", kind, "sibling")))
    return runtime(first), runtime(second)


def spec_for(one: Runtime) -> Any:
    kind = next(row.kind for row in registry.RUNTIMES if row.name == one.NAME)
    return KINDS[kind].parse({"url" if kind == "kubeai-text" else "path": "hf://org/m"})


def made_by(one: Runtime) -> Cluster:
    record = Record(Owner(dag_id="d"), spec_for(one), runtime=one.NAME)
    metadata = {"name": "m", "namespace": "ns", "uid": "u1", "resourceVersion": "1", "labels": dict(MANAGED_BY)}
    primary = {"apiVersion": one.PRIMARY.api_version, "kind": one.PRIMARY.kind, "metadata": metadata}
    return Cluster(one.RECORD.stamped(primary, record), one.RECORD.companion("m", record))


async def test_each_finds_what_it_made_and_only_that(pair: tuple[Runtime, Runtime]) -> None:
    for made, other in (pair, pair[::-1]):
        client: Any = made_by(made)
        found = await live.find(client, "ns", Target("m"))
        assert found is not None
        assert (found.runtime.NAME, found.run().runtime, found.run().kind) == (made.NAME, made.NAME, spec_for(made).kind)
        assert [one.runtime.NAME for one in await live.made_by_us(client, "ns")] == [made.NAME]
        theirs = await live.read(client, "ns", other, "m")
        assert theirs is not None
        assert theirs.record is None, "to the other runtime it is a stranger's"


async def test_neither_is_deployed_over_the_other(pair: tuple[Runtime, Runtime]) -> None:
    for made, other in (pair, pair[::-1]):
        want = Want(spec_for(made), "m", Owner(dag_id="d"))
        client: Any = made_by(made)
        (finding,) = await preflight._other_runtime(client, SETTINGS, other, want)
        assert finding.startswith(f"m stands as {made.PRIMARY.kind} (runtime {made.NAME}); tear it down first")
        assert await preflight._other_runtime(client, SETTINGS, made, want) == ()
