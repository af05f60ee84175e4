"""Failures of a Model, each produced on the live API server by the stand-in for KubeAI's manager, and named within five seconds.

The five seconds run from the moment at which the API server shows the failure (or the watch begins, where that is later).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from support.cluster import Cluster
from support.kube import until
from support.kubeai_manager import KubeAI
from support.kubeai_run import LAW, TWO, ended, model, pods, spec, volume, want
from support.kubeai_world import World
from support.verdicts import ends

from airflow_provider_llmserve.errors import StillThere
from airflow_provider_llmserve.platforms.base import ServingRun, Target
from airflow_provider_llmserve.platforms.kubernetes.clock import ClusterClock
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.runtimes.kubeai.adapters import url_hash

pytestmark = pytest.mark.cluster

NAMED_WITHIN = 5.0
LEASE = "cc6bca10.substratus.ai"
MISSING, REFUSED = "hf://acme/missing", "hf://acme/refused"


@dataclass
class Stage:
    cluster: Cluster
    namespace: str
    kubeai: KubeAI
    platform: KubernetesPlatform

    @property
    def world(self) -> World:
        return self.kubeai.world

    async def serve(self, **fields: Any) -> None:
        """What stands there when the history begins: proven."""
        await serve(self.platform, want(spec(**fields)), timeout=60)

    async def apply(self, **fields: Any) -> ServingRun:
        """Our change, past preflight, which would refuse some of these."""
        s = spec(**fields)
        return await self.platform.apply(want(s), replacing=await self.platform.find(Target(s.object_name)))

    async def found(self, name: str = "alpha") -> ServingRun:
        run = await self.platform.find(Target(name))
        assert run is not None
        return run

    def path(self, *parts: str) -> str:
        return "/".join((f"/api/v1/namespaces/{self.namespace}", *parts))

    @property
    def model_path(self) -> str:
        return f"/apis/kubeai.org/v1/namespaces/{self.namespace}/models/alpha"

    def model(self) -> dict[str, Any]:
        return model(self.cluster, self.namespace) or {"metadata": {}, "spec": {}}

    def pods(self, name: str = "alpha") -> list[dict[str, Any]]:
        return pods(self.cluster, self.namespace, name)

    def waiting(self) -> set[str]:
        """Why containers wait, of all pods in the namespace."""
        found = (c for p in self.cluster.admin.items(self.path("pods")) for c in p["status"].get("containerStatuses") or ())
        return {c["state"]["waiting"]["reason"] for c in found if "waiting" in (c.get("state") or {})}


Sign = Callable[[], Any]
"""Whether the API server shows the failure now."""
History = Callable[[Stage], Awaitable[tuple[ServingRun, Sign]]]


@pytest.fixture
def stage(cluster: Cluster, namespace: str, kubeai: KubeAI, kubeai_platform: KubernetesPlatform) -> Stage:
    return Stage(cluster, namespace, kubeai, kubeai_platform)


async def named(stage: Stage, run: ServingRun, sign: Sign, word: str) -> tuple[Verdict, list[Verdict]]:
    """The first verdict with that word, and all before it. Fails, with all that was said, NAMED_WITHIN after the sign."""
    said: list[Verdict] = []
    there = asyncio.Event()

    async def listen() -> None:
        async with aclosing(stage.platform.verdicts(run)) as found:  # type: ignore[type-var]
            async for v in found:
                said.append(v)
                if v.reason == word:
                    there.set()
                    return

    listening = asyncio.create_task(listen())
    try:
        await asyncio.to_thread(until, "the API server shows it", sign)
        await asyncio.wait({listening}, timeout=NAMED_WITHIN)
        if not there.is_set():
            listening.cancel()
            await asyncio.wait({listening})
            raise AssertionError(f"{word} not said; said was:\n" + "\n".join(dict.fromkeys(v.text() for v in said)))
        await listening
    finally:
        listening.cancel()
    return said[-1], said[:-1]


# Histories


async def stale_ready_in_a_rollout_with_surge(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve(image="good:1")
    run = await s.apply(image="slow:1")

    def sign() -> bool:
        status = (s.model().get("status") or {}).get("replicas") or {}
        return len(s.pods()) == 2 and status.get("ready", 0) >= s.model()["spec"]["replicas"]

    return run, sign


async def update_never_applied(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve()
    run = await s.apply(profile="h100")
    return run, lambda: s.model()["spec"]["resourceProfile"] == "h100:1"


async def never_started(s: Stage) -> tuple[ServingRun, Sign]:
    run = await s.apply(profile="h100")
    return run, lambda: s.model().get("status") == {"replicas": {"all": 0, "ready": 0}}


async def scaled_to_zero_by_design(s: Stage) -> tuple[ServingRun, Sign]:
    run = await s.apply(scaling={"min_replicas": 0})
    return run, lambda: s.model().get("status") == {"replicas": {"all": 0, "ready": 0}}


async def adapter_swapped(s: Stage) -> tuple[ServingRun, Sign]:
    """The label is early: it names the new weights while the old ones answer."""
    s.world.removal = 3.0
    await s.serve(adapters=[LAW])
    new = {**LAW, "url": LAW["url"] + "-v2"}
    run = await s.apply(adapters=[new])
    label = "adapter.kubeai.org/law"
    return run, lambda: any(p["metadata"]["labels"].get(label) == url_hash(new["url"]) for p in s.pods())


async def adapter_not_downloaded(s: Stage) -> tuple[ServingRun, Sign]:
    s.world.missing.add(MISSING)
    return await s.apply(adapters=[{"name": "gone", "url": MISSING}]), lambda: any(MISSING in line for line in log_of(s))


async def adapter_refused(s: Stage) -> tuple[ServingRun, Sign]:
    s.world.refused.add(REFUSED)
    run = await s.apply(adapters=[{"name": "big", "url": REFUSED}])
    return run, lambda: len([line for line in log_of(s) if 'load vllm adapter \\"big\\"' in line]) > 1


async def adapter_lost(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve(adapters=[LAW])
    (pod,) = s.pods()
    statuses = pod["status"]["containerStatuses"]
    statuses[0] |= {"restartCount": 1, "lastState": ended(1, "Error")}
    s.cluster.admin.merge(s.path("pods", pod["metadata"]["name"], "status"), {"status": {"containerStatuses": statuses}})
    return await s.found(), lambda: True


async def evicted(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve()
    (pod,) = s.pods()
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    s.cluster.admin.merge(s.path("pods", pod["metadata"]["name"], "status"), {"status": status})
    return await s.found(), lambda: True


async def cache_job_fails(s: Stage) -> tuple[ServingRun, Sign]:
    volume(s.cluster, s.namespace)
    s.world.missing.add("hf://acme/base-7b")
    return await s.apply(cache_profile="shared"), lambda: "CrashLoopBackOff" in s.waiting()


async def cache_unbound(s: Stage) -> tuple[ServingRun, Sign]:
    run = await s.apply(cache_profile="nostore")
    return run, lambda: any(e["reason"] == "ProvisioningFailed" for e in s.cluster.admin.items(s.path("events")))


async def quota(s: Stage) -> tuple[ServingRun, Sign]:
    body = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "500m"}}}
    s.cluster.admin.create(s.path("resourcequotas"), body)
    await asyncio.to_thread(until, "quota", lambda: (s.cluster.admin.get(s.path("resourcequotas/team")) or {})["status"])
    return await s.apply(), lambda: s.kubeai.log and "exceeded quota" in s.kubeai.log[-1]


async def image_absent(s: Stage) -> tuple[ServingRun, Sign]:
    return await s.apply(image="absent:1"), lambda: "ImagePullBackOff" in s.waiting()


async def crash_loop(s: Stage) -> tuple[ServingRun, Sign]:
    s.cluster.plane.pod_log.write_text("2026-01-01T00:00:00.000000000Z stdout F no such thing as a free launch\n")
    return await s.apply(image="crashing:1"), lambda: "CrashLoopBackOff" in s.waiting()


async def out_of_memory(s: Stage) -> tuple[ServingRun, Sign]:
    return await s.apply(image="greedy:1"), lambda: "CrashLoopBackOff" in s.waiting()


async def no_gpu(s: Stage) -> tuple[ServingRun, Sign]:
    def sign() -> bool:
        conditions = [c for p in s.pods() for c in p["status"].get("conditions") or ()]
        return any((c["type"], c["status"]) == ("PodScheduled", "False") for c in conditions)

    return await s.apply(profile="gpu"), sign


async def another_writer(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve()
    run = await s.found()
    s.cluster.admin.merge(s.model_path, {"spec": {"image": "theirs:1"}})
    return run, lambda: True


async def a_later_run(s: Stage) -> tuple[ServingRun, Sign]:
    earlier = await s.apply(image="slow:1")
    await s.platform.apply(want(spec(image="good:1"), TWO), replacing=earlier)
    return earlier, lambda: True


async def deleted_by_somebody(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve()
    s.cluster.admin.merge(s.model_path, {"metadata": {"finalizers": ["example.com/slow"]}})
    run = await s.found()
    s.cluster.admin.delete(s.model_path)
    return run, lambda: "deletionTimestamp" in s.model()["metadata"]


async def manager_gone(s: Stage) -> tuple[ServingRun, Sign]:
    await s.serve(image="good:1")
    s.world.lease = 1
    path = f"/apis/coordination.k8s.io/v1/namespaces/{s.namespace}/leases/{LEASE}"
    await asyncio.to_thread(until, "a short lease", lambda: s.cluster.admin.get(path)["spec"]["leaseDurationSeconds"] == 1)  # type: ignore[index]
    await s.kubeai.stop()
    renewed = datetime.fromisoformat(s.cluster.admin.get(path)["spec"]["renewTime"].replace("Z", "+00:00"))  # type: ignore[index]
    return await s.apply(image="good:2"), lambda: datetime.now(timezone.utc) > renewed + timedelta(seconds=1)


async def model_not_in_server(s: Stage) -> tuple[ServingRun, Sign]:
    s.world.without_model.add("gemma")
    run = await s.apply(url="ollama://gemma2:2b", engine="OLlama", model_name="gemma", args=[])
    return run, lambda: s.pods("gemma") and "podIP" in s.pods("gemma")[0]["status"]


HISTORIES: list[tuple[History, str, State, bool]] = [
    (stale_ready_in_a_rollout_with_surge, "old_version_serves", State.PROGRESSING, False),
    (update_never_applied, "unknown_resource_profile", State.DEGRADED, True),
    (never_started, "unknown_resource_profile", State.FAILED, True),
    (scaled_to_zero_by_design, "scaled_to_zero", State.SCALED_TO_ZERO, True),
    (adapter_swapped, "adapter_old_weights", State.PROGRESSING, False),
    (adapter_not_downloaded, "adapter_download_failed", State.DEGRADED, False),
    (adapter_refused, "adapter_rejected", State.DEGRADED, True),
    (adapter_lost, "adapter_lost", State.DEGRADED, False),
    (evicted, "evicted_node_memory", State.FAILED, True),
    (cache_job_fails, "cache_load_failed", State.FAILED, True),
    (cache_unbound, "cache_volume_pending", State.PROGRESSING, False),
    (quota, "quota_exceeded", State.PROGRESSING, False),
    (image_absent, "image_not_found", State.FAILED, True),
    (crash_loop, "crash_loop", State.FAILED, True),
    (out_of_memory, "out_of_memory", State.FAILED, True),
    (no_gpu, "unschedulable_gpu", State.PROGRESSING, False),
    (another_writer, "superseded", State.SUPERSEDED, True),
    (a_later_run, "superseded", State.SUPERSEDED, True),
    (deleted_by_somebody, "disappeared", State.DELETING, True),
    (manager_gone, "manager_not_running", State.UNMANAGED, False),
    (model_not_in_server, "model_not_in_server", State.FAILED, True),
]


@pytest.mark.parametrize(("history", "word", "state", "settled"), HISTORIES, ids=lambda x: getattr(x, "__name__", ""))
async def test_each_is_named_in_time(stage: Stage, history: History, word: str, state: State, settled: bool) -> None:
    run, sign = await history(stage)
    said, before = await named(stage, run, sign, word)

    assert (said.state, ends(said)) == (state, settled)
    assert not [v for v in before if v.state is State.READY], "what is in the way was there before"


async def test_an_update_that_gets_ready_is_ready_only_then(stage: Stage) -> None:
    """The status said ready all the time; the verdict says it when the pod of the new version is."""
    run, sign = await stale_ready_in_a_rollout_with_surge(stage)
    await named(stage, run, sign, "old_version_serves")
    new = next(p for p in stage.pods() if p["spec"]["containers"][0]["image"] == "slow:1")
    annotations = {"testbed/ready-after": "0s"}
    stage.cluster.admin.merge(stage.path("pods", new["metadata"]["name"]), {"metadata": {"annotations": annotations}})
    _, before = await named(stage, run, lambda: len(stage.pods()) == 1, "proven")

    assert {v.reason for v in before} & {"old_version_serves", "old_pod_still_serves"}
    assert State.READY not in {v.state for v in before}


async def test_a_swapped_adapter_is_ready_only_with_its_new_weights(stage: Stage) -> None:
    run, sign = await adapter_swapped(stage)
    await named(stage, run, sign, "adapter_old_weights")

    def swapped() -> bool:
        return all(s.adapters == {"law": LAW["url"] + "-v2"} for s in stage.kubeai.servers.values())

    async with aclosing(stage.platform.verdicts(run)) as found:  # type: ignore[type-var]
        async for v in found:
            held = swapped()
            if v.state is State.READY:
                break
    assert held


async def test_the_last_line_of_a_crashed_container_is_told(stage: Stage) -> None:
    said, _ = await named(stage, *(await crash_loop(stage)), "crash_loop")

    assert said.detail == "no such thing as a free launch"
    assert "Error (2)" in said.summary


async def test_a_pod_without_a_node_is_a_failure_only_after_a_grace(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run, sign = await no_gpu(stage)
    said, _ = await named(stage, run, sign, "unschedulable_gpu")
    assert not ends(said)

    now = ClusterClock.now
    monkeypatch.setattr(ClusterClock, "now", lambda clock: now(clock) + timedelta(minutes=6))
    said, _ = await named(stage, run, sign, "unschedulable_gpu")
    assert (said.state, ends(said)) == (State.FAILED, True)


async def test_a_stuck_finalizer_is_named_in_time(stage: Stage) -> None:
    volume(stage.cluster, stage.namespace)
    await stage.serve(cache_profile="shared")
    del stage.kubeai.system["cacheProfiles"]["shared"]

    with pytest.raises(StillThere, match=r"kubeai\.org/cache-eviction holds it"):
        await stage.platform.delete(await stage.found(), timeout=NAMED_WITHIN)


async def test_a_manager_that_comes_back_goes_on(stage: Stage) -> None:
    run, sign = await manager_gone(stage)
    await named(stage, run, sign, "manager_not_running")
    await stage.kubeai.start()

    await named(stage, run, lambda: stage.pods() and stage.pods()[0]["spec"]["containers"][0]["image"] == "good:2", "proven")


def log_of(stage: Stage) -> list[str]:
    """What the manager of this namespace has logged."""
    lines = stage.cluster.plane.manager_log.read_text().splitlines()
    return [line for line in lines if stage.namespace in line or "Repository Not Found" in line]
