"""KubeAI-text from preflight to teardown: the Kubernetes platform, a real API server, and the stand-in for KubeAI's manager."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from support.cluster import Cluster, hook_for
from support.kube import until
from support.kubeai_manager import KubeAI
from support.kubeai_world import World

from airflow_provider_llmserve.errors import BadInput, ServingFailed, StillThere, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import change, serve, target_of, teardown, wait_until_proven
from airflow_provider_llmserve.readiness.state import Assessment, State
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText
from airflow_provider_llmserve.specs.changes import scaled
from airflow_provider_llmserve.specs.kubeai import Adapter

pytestmark = pytest.mark.cluster

ONE = Owner(dag_id="d", run_id="r1", task_id="t", try_number=1, ti_id="one")
TWO = Owner(dag_id="d", run_id="r2", task_id="t", try_number=1, ti_id="two")
LAW = {"name": "law", "url": "hf://acme/lora-law"}
MED = {"name": "med", "url": "hf://acme/lora-med"}
BROKEN = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}


def spec(**fields: Any) -> KubeAIText:
    return KubeAIText.parse({"url": "hf://acme/base-7b", "model_name": "alpha", "args": ["--max-loras=4"], **fields})


def want(s: KubeAIText | None = None, owner: Owner = ONE, **fields: Any) -> Want:
    s = s or spec()
    return Want(spec=s, name=s.object_name, owner=owner, **fields)


def _status(state: dict[str, Any], *, last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    server = {"name": "server", "image": "", "imageID": "", "ready": False, "restartCount": restarts, "state": state}
    return {**BROKEN, "containerStatuses": [{**server, "lastState": last or {}}]}


def _ended(code: int, reason: str) -> dict[str, Any]:
    times = {"startedAt": "2026-11-23T22:21:27Z", "finishedAt": "2026-11-23T22:21:28Z"}
    return {"terminated": {"exitCode": code, "reason": reason, **times}}


def _backed_off(code: int, reason: str) -> dict[str, Any]:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=server"}}
    return _status(waiting, last=_ended(code, reason), restarts=5)


NOT_FOUND = 'rpc error: code = NotFound desc = failed to pull and unpack image "absent:1": failed to resolve reference: not found'
FATES = {
    "absent:1": [
        (0.0, _status({"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "absent:1": {NOT_FOUND}'}}))
    ],
    "crashing:1": [(0.0, _backed_off(2, "Error"))],
    "greedy:1": [(0.0, _backed_off(137, "OOMKilled"))],
}


@pytest.fixture
def world() -> World:
    return World(fates=dict(FATES))


@pytest.fixture
async def kubeai(cluster: Cluster, namespace: str, world: World) -> AsyncIterator[KubeAI]:
    async with KubeAI(cluster, namespace, world=world) as k:
        yield k


@pytest.fixture(scope="module", autouse=True)
def node(cluster: Cluster) -> Iterator[str]:
    name = cluster.node(gpus=0)
    yield name
    cluster.remove_node(name)


@pytest.fixture
async def platform(cluster: Cluster, namespace: str, kubeai: KubeAI) -> AsyncIterator[KubernetesPlatform]:
    settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as p:
        yield p


async def first(
    platform: KubernetesPlatform, run: ServingRun, found: Callable[[Assessment], bool], seconds: float = 30
) -> Assessment:
    """The first verdict that is looked for."""
    last: list[str] = []

    async def look() -> Assessment:
        async with aclosing(platform.assessments(run)) as verdicts:  # type: ignore[type-var]
            async for v in verdicts:
                last.append(v.text())
                if found(v):
                    return v
        raise AssertionError("the verdicts ended")

    try:
        return await asyncio.wait_for(look(), seconds)
    except asyncio.TimeoutError:
        raise AssertionError("not said; said was:\n" + "\n".join(dict.fromkeys(last))) from None


def model(cluster: Cluster, namespace: str, name: str = "alpha") -> dict[str, Any] | None:
    return cluster.admin.get(f"/apis/kubeai.org/v1/namespaces/{namespace}/models/{name}")


def written(cluster: Cluster, namespace: str) -> Any:
    """What any write of ours would change; the manager's status writes do not count."""
    live = model(cluster, namespace)
    assert live is not None
    metadata = live["metadata"]
    times = [e["time"] for e in metadata["managedFields"] if e["manager"] == "airflow-llmserve"]
    return metadata["generation"], metadata["annotations"], times


def pods(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=model%3Dalpha")


async def test_serve_update_and_the_same_again(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    endpoint = await serve(platform, want(), timeout=30)
    assert endpoint.served_names() == ("alpha",)
    served = model(cluster, namespace)
    assert served is not None
    assert "replicas" not in _applied_by_us(served), "an autoscaled Model's replicas are not ours"

    await serve(platform, want(spec(image="vllm/vllm-openai:v2")), timeout=30)
    assert [p["spec"]["containers"][0]["image"] for p in pods(cluster, namespace)] == ["vllm/vllm-openai:v2"]

    before = written(cluster, namespace)
    await serve(platform, want(spec(image="vllm/vllm-openai:v2")), timeout=30)
    assert written(cluster, namespace) == before, "nothing changed, nothing written"


async def test_scale_stop_and_resume(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    endpoint = await serve(platform, want(), timeout=30)
    target = target_of(endpoint)

    await change(platform, target, lambda s, stopped: (scaled(s, replicas=3), stopped), timeout=30)
    assert len(pods(cluster, namespace)) == 3

    await change(platform, target, lambda s, _: (s, True), timeout=30)
    assert pods(cluster, namespace) == [], "stopped means that the GPUs are free"

    await change(platform, target, lambda s, _: (s, False), timeout=30)
    assert len(pods(cluster, namespace)) == 3, "a resume returns to the scaling that stood"


async def test_attach_and_detach_leave_the_other_adapter_alone(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, kubeai: KubeAI
) -> None:
    two = {"scaling": {"min_replicas": 2}}
    endpoint = await serve(platform, want(spec(adapters=[LAW], **two)), timeout=30)
    first_pods = {p["metadata"]["name"] for p in pods(cluster, namespace)}

    def attach(s: KubeAIText, stopped: bool) -> tuple[KubeAIText, bool]:
        return s.model_copy(update={"adapters": (*s.adapters, Adapter.parse(MED))}), stopped

    grown = await change(platform, target_of(endpoint), attach, timeout=30)  # type: ignore[arg-type]
    assert grown.served_names() == ("alpha", "alpha_law", "alpha_med")
    assert all(set(kubeai.servers[p].adapters) == {"law", "med"} for p in first_pods), "on every replica"

    def detach(s: KubeAIText, stopped: bool) -> tuple[KubeAIText, bool]:
        return s.model_copy(update={"adapters": s.adapters[1:]}), stopped

    await change(platform, target_of(endpoint), detach, timeout=30)  # type: ignore[arg-type]
    assert {p["metadata"]["name"] for p in pods(cluster, namespace)} == first_pods, "without a rollout"
    assert all(set(kubeai.servers[p].adapters) == {"med"} for p in first_pods)


async def test_teardown_waits_for_the_pods(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    endpoint = await serve(platform, want(), timeout=30)
    assert await teardown(platform, target_of(endpoint), timeout=90)
    assert model(cluster, namespace) is None
    assert pods(cluster, namespace) == []
    assert not await teardown(platform, target_of(endpoint), timeout=30)


async def test_the_later_of_two_runs_wins(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    earlier = await platform.apply(want(spec(image="absent:1")), replacing=None)
    waiting = asyncio.create_task(wait_until_proven(platform, earlier, timeout=30))
    await asyncio.sleep(0)
    later = await serve(platform, want(owner=TWO), timeout=30)

    with pytest.raises((Superseded, ServingFailed)):  # whichever shows first; its own pods fail meanwhile
        await waiting
    with pytest.raises(Superseded):
        await wait_until_proven(platform, earlier, timeout=30)
    old = Target(name="alpha", kind="kubeai-text", uid=earlier.uid, owner=ONE)
    assert not await teardown(platform, old, timeout=30)
    assert model(cluster, namespace) is not None
    assert later.identity.owner == TWO


async def test_another_writer_is_named(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    await serve(platform, want(), timeout=30)
    run = await platform.find(Target("alpha"))
    assert run is not None
    path = f"/apis/kubeai.org/v1/namespaces/{namespace}/models/alpha"
    cluster.admin.merge(path, {"spec": {"image": "theirs:1"}})
    said = await first(platform, run, lambda v: v.state is State.SUPERSEDED)
    assert "spec.image" in said.summary


async def test_a_failed_update_leaves_the_last_good_one(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    await serve(platform, want(spec(image="good:1")), timeout=30)
    with pytest.raises(ServingFailed, match="image_not_found"):
        await serve(platform, want(spec(image="absent:1")), timeout=30)
    live = model(cluster, namespace)
    assert live is not None
    assert live["spec"]["image"] == "good:1"
    run = await platform.find(Target("alpha"))
    assert run is not None
    assert (await wait_until_proven(platform, run, timeout=30)).state is State.READY


async def test_a_failed_first_deployment_leaves_nothing(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ServingFailed, match=r"invalid_flag|crash_loop"):
        await serve(platform, want(spec(image="crashing:1")), timeout=30)
    assert model(cluster, namespace) is None


@pytest.mark.parametrize(
    ("fields", "word", "settled"),
    [
        ({"image": "absent:1"}, "image_not_found", True),
        ({"image": "crashing:1"}, "crash_loop", True),
        ({"image": "greedy:1"}, "out_of_memory", True),
        ({"profile": "h100"}, "unknown_resource_profile", True),
        ({"cache_profile": "nowhere"}, "unknown_cache_profile", True),
        ({"profile": "gpu"}, "unschedulable_gpu", False),
        ({"cache_profile": "nostore"}, "cache_volume_pending", False),
        ({"adapters": [{"name": "gone", "url": "hf://acme/missing"}]}, "adapter_download_failed", False),
        ({"adapters": [{"name": "big", "url": "hf://acme/refused"}]}, "adapter_rejected", True),
        (
            {"url": "ollama://gemma2:2b", "engine": "OLlama", "model_name": "without-model", "args": []},
            "model_not_in_server",
            True,
        ),
    ],
)
async def test_what_is_in_the_way_is_named(
    platform: KubernetesPlatform, world: World, fields: dict[str, Any], word: str, settled: bool
) -> None:
    world.missing.add("hf://acme/missing")
    world.refused.add("hf://acme/refused")
    world.without_model.add("without-model")
    run = await platform.apply(want(spec(**fields)), replacing=None)
    said = await first(platform, run, lambda v: v.reason == word, seconds=10)
    assert said.settled == settled
    assert said.evidence or said.detail or said.summary


async def test_a_used_up_quota_is_named(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "500m"}}}
    cluster.admin.create(f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    run = await platform.apply(want(), replacing=None)
    said = await first(platform, run, lambda v: v.reason == "quota_exceeded", seconds=15)
    assert "requests.cpu 500m" in said.summary


async def test_an_adapter_lost_in_a_container_restart_is_named(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, kubeai: KubeAI
) -> None:
    await serve(platform, want(spec(adapters=[LAW])), timeout=30)
    run = await platform.find(Target("alpha"))
    assert run is not None
    (pod,) = pods(cluster, namespace)
    statuses = pod["status"]["containerStatuses"]
    statuses[0] |= {"restartCount": 1, "lastState": _ended(1, "Error")}
    cluster.admin.merge(
        f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/status", {"status": {"containerStatuses": statuses}}
    )
    said = await first(platform, run, lambda v: v.reason == "adapter_lost", seconds=15)
    assert said.state is State.DEGRADED
    assert "law" in said.summary


async def test_a_manager_that_does_not_run_is_named_and_waited_for(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, kubeai: KubeAI
) -> None:
    await serve(platform, want(spec(image="good:1")), timeout=30)
    kubeai.world.lease = 1
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/cc6bca10.substratus.ai"
    await asyncio.to_thread(until, "a short lease", lambda: (cluster.admin.get(lease) or {})["spec"]["leaseDurationSeconds"] == 1)
    await kubeai.stop()

    run = await platform.apply(want(spec(image="good:2")), replacing=await platform.find(Target("alpha")))
    said = await first(platform, run, lambda v: v.reason == "manager_not_running", seconds=15)
    assert (said.state, said.settled) == (State.UNMANAGED, False)
    await kubeai.start()
    assert (await wait_until_proven(platform, run, timeout=30)).state is State.READY


async def test_a_manager_that_was_never_there_is_named(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as platform:
        assert any("does not run in namespace" in f for f in await platform.preflight(want()))
        run = await platform.apply(want(), replacing=None)
        said = await first(platform, run, lambda v: v.reason == "namespace_not_watched", seconds=25)
    assert (said.state, said.settled) == (State.UNMANAGED, True)


async def test_a_cached_model_is_loaded_served_and_evicted(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str
) -> None:
    _volume(cluster, namespace)
    endpoint = await serve(platform, want(spec(cache_profile="shared")), timeout=60)
    assert await teardown(platform, target_of(endpoint), timeout=60)
    assert model(cluster, namespace) is None


async def test_a_stuck_finalizer_is_named_and_removed_only_when_asked_for(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, kubeai: KubeAI
) -> None:
    _volume(cluster, namespace)
    endpoint = await serve(platform, want(spec(cache_profile="shared")), timeout=60)
    del kubeai.system["cacheProfiles"]["shared"]
    with pytest.raises(StillThere, match="cache-eviction"):
        await teardown(platform, target_of(endpoint), timeout=2)
    assert await teardown(platform, target_of(endpoint), timeout=2, force=True)


async def test_preflight_tells_everything_at_once_and_writes_nothing(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str
) -> None:
    bad = spec(profile="h100", cache_profile="nowhere", secrets=["absent"], adapters=[LAW, MED], args=[], engine="VLLM")
    with pytest.raises(BadInput) as caught:
        await serve(platform, want(bad), timeout=5)
    text = str(caught.value)
    for word in ("h100", "nowhere", "Secret absent", "--max-loras=2"):
        assert word in text
    assert model(cluster, namespace) is None


async def test_preflight_refuses_what_kubeai_does_not_survive(platform: KubernetesPlatform) -> None:
    await serve(platform, want(spec(adapters=[LAW])), timeout=30)
    findings = await platform.preflight(want(spec(adapters=[{"name": "law", "url": "hf://acme/lora-law-v2"}])))
    assert any("new name" in f for f in findings)


def _applied_by_us(live: dict[str, Any]) -> dict[str, Any]:
    """The spec fields that our field manager owns."""
    ours = [e for e in live["metadata"]["managedFields"] if e["manager"] == "airflow-llmserve"]
    return {k.removeprefix("f:"): v for e in ours for k, v in (e["fieldsV1"].get("f:spec") or {}).items()}


def _volume(cluster: Cluster, namespace: str) -> None:
    """A volume for the cache's claim, and a storage class's name for it to be bound by."""
    name = f"pv-{namespace}"
    claim = {"namespace": namespace, "name": "shared-model-cache-shared"}
    body = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "shared-nfs",
        "hostPath": {"path": "/tmp/none"},
        "claimRef": claim,
    }
    cluster.admin.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": body})
    until(f"volume {name}", lambda: cluster.admin.get(f"/api/v1/persistentvolumes/{name}"))
