"""The Kubernetes platform, from preflight to teardown, on a toy runtime: real controllers and scheduler, kwok as kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.answers import answering
from support.cluster import Cluster, hook_for
from support.kube import until
from support.toy import ONE, TWO, deployment, first, is_ready, pods, spec, want
from support.toy_runtime import ToyRuntime

from airflow_provider_llmserve.errors import Conflict, StillThere, Superseded
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve, target_of, teardown
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.runtimes.kinds import Kind
from airflow_provider_llmserve.runtimes.record_home import IN_CONFIG_MAP
from airflow_provider_llmserve.settings import Settings

pytestmark = pytest.mark.cluster


async def test_drift_is_written_back(platform: KubernetesPlatform, cluster: Cluster, settings: Settings) -> None:
    await platform.apply(want(), replacing=None)
    cluster.admin.merge(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments/toy", {"spec": {"replicas": 3}})
    await platform.apply(want(), replacing=await platform.find(Target("toy")))

    assert deployment(cluster, settings)["spec"]["replicas"] == 1


async def test_a_record_changes_nothing_that_runs(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, toy: ToyRuntime
) -> None:
    await platform.apply(want(), replacing=None)
    await until_quiet(cluster, settings)
    before = deployment(cluster, settings)
    await platform.apply(want(owner=TWO), replacing=await platform.find(Target("toy")))
    after = deployment(cluster, settings)

    assert after["spec"] == before["spec"]
    if toy.RECORD is IN_CONFIG_MAP:
        for part in ("generation", "labels", "annotations"):
            assert after["metadata"][part] == before["metadata"][part]


async def test_what_the_new_spec_lacks_is_pruned_and_the_rest_is_owned(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings
) -> None:
    run = await platform.apply(want(), replacing=None)
    path = f"/api/v1/namespaces/{settings.namespace}/services/toy"
    service = cluster.admin.get(path)
    fewer = await platform.apply(want(spec(service_name="none")), replacing=run)
    assert cluster.admin.get(path) == service, "a rollback would need it"
    await platform.settle(fewer)

    assert service is not None
    assert service["metadata"]["ownerReferences"][0]["uid"] == run.uid
    assert service["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "airflow-llmserve"}
    assert cluster.admin.get(path) is None


async def test_a_strangers_object_is_found_without_owner(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, toy: ToyRuntime
) -> None:
    theirs = toy.render(spec(), name="toy", namespace="", stopped=False, settings=settings)[0]
    cluster.admin.create(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments", theirs)
    run = await platform.find(Target("toy"))

    assert run is not None
    assert (run.owner, run.spec) == (None, None)
    with pytest.raises(Conflict, match="made by somebody else"):
        await platform.apply(want(), replacing=None)
    adopted = await platform.apply(want(adopt=True), replacing=run)
    assert (adopted.owner, adopted.uid) == (ONE, run.uid)


async def test_a_deployment_is_proven_by_an_answer_through_the_api_server(
    platform: KubernetesPlatform, cluster: Cluster, node: str
) -> None:
    async with answering() as model:
        cluster.route("*:8080", model.port)
        endpoint = await serve(platform, want(), timeout=60)

        assert model.asked[-1] == "GET /hello"
    found = await platform.find(target_of(endpoint))
    assert found is not None
    assert found.previous is None
    assert endpoint.identity.uid == found.uid


async def test_no_answer_is_not_ready(platform: KubernetesPlatform, cluster: Cluster, node: str) -> None:
    async with answering(status=503, text="loading") as model:
        cluster.route("*:8080", model.port)
        run = await platform.apply(want(), replacing=None)
        v = await first(platform, run, lambda v: v.detail == "loading")
        assert v.state is State.PROGRESSING
        assert v.reason == "not_answering"
        model.status = 200
        await first(platform, run, is_ready)


async def test_two_runs_of_one_name_the_later_wins_the_earlier_is_superseded(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    async with answering() as model:
        cluster.route("*:8080", model.port)
        never = spec("i:1", node_selector={"ready-after": "never"})
        earlier = asyncio.create_task(serve(platform, want(never), timeout=60))
        await asyncio.to_thread(until, "the earlier one stands", lambda: pods(cluster, settings))
        later = await serve(platform, want(spec("i:2"), TWO), timeout=60)
        with pytest.raises(Superseded, match="d / r2 / t"):
            await earlier

        older = later.identity.model_copy(update={"owner": ONE})
        assert not await teardown(platform, target_of(later.model_copy(update={"identity": older})), timeout=30)
        assert deployment(cluster, settings)["metadata"]["uid"] == later.identity.uid
        assert await teardown(platform, target_of(later), timeout=30)


async def test_teardown_waits_for_the_pods_and_takes_everything_along(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    run = await platform.apply(want(spec(replicas=2)), replacing=None)
    until("two pods run", lambda: len([p for p in pods(cluster, settings) if p["status"].get("podIP")]) == 2)
    await platform.delete(run, timeout=30)

    assert pods(cluster, settings) == []
    assert await platform.find(Target("toy")) is None
    base = f"/api/v1/namespaces/{settings.namespace}"
    until("service and record are collected", lambda: not cluster.admin.get(f"{base}/services/toy"))
    until("record is collected", lambda: not cluster.admin.get(f"{base}/configmaps/toy-llmserve"))


async def test_a_stuck_finalizer_is_named_and_removed_only_by_force(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings
) -> None:
    run = await platform.apply(want(), replacing=None)
    path = f"/apis/apps/v1/namespaces/{settings.namespace}/deployments/toy"
    cluster.admin.merge(path, {"metadata": {"finalizers": ["example.com/stuck"]}})

    with pytest.raises(StillThere, match=r"example\.com/stuck holds it.*force=True"):
        await platform.delete(run, timeout=1)
    await platform.delete(run, timeout=8, force=True)
    assert cluster.admin.get(path) is None


async def test_a_pod_that_does_not_end_is_named(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    run = await platform.apply(want(), replacing=None)
    until("a pod is there", lambda: pods(cluster, settings))
    pod = pods(cluster, settings)[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{settings.namespace}/pods/{pod}"
    cluster.plane.pause("kwok")
    try:
        until("the pod is placed", lambda: (cluster.admin.get(path) or {})["spec"].get("nodeName"))
        with pytest.raises(StillThere, match=f"Pod {pod}.*still hold their resources"):
            await platform.delete(run, timeout=2)
    finally:
        cluster.plane.resume("kwok")
    await platform.delete(run, timeout=30)


async def test_a_retried_teardown_waits_for_pods_whose_owner_is_gone(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    """Deleted in the background, an object is gone before its pods are: they still hold their GPUs."""
    await platform.apply(want(), replacing=None)
    until("a pod runs", lambda: any(p["status"].get("podIP") for p in pods(cluster, settings)))
    (pod,) = pods(cluster, settings)
    path = f"/api/v1/namespaces/{settings.namespace}/pods/{pod['metadata']['name']}"
    cluster.admin.merge(path, {"metadata": {"finalizers": ["example.com/slow"]}})
    cluster.plane.pause("kwok")  # it would remove the finalizer
    try:
        cluster.admin.delete(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments/toy", propagationPolicy="Background")
        until("the deployment is gone", lambda: not _deployments(cluster, settings))
        with pytest.raises(StillThere, match=f"is gone, but.*{pod['metadata']['name']}.*still hold their resources"):
            await teardown(platform, Target("toy"), timeout=1)
        assert "deletionTimestamp" in (cluster.admin.get(path) or {})["metadata"], "by the collector; we delete nothing"
        waiting = asyncio.create_task(teardown(platform, Target("toy"), timeout=30))
    finally:
        cluster.plane.resume("kwok")
    assert not await waiting
    assert pods(cluster, settings) == []


async def test_a_retried_teardown_does_not_wait_for_the_pods_of_a_newer_deployment(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    await platform.apply(want(), replacing=None)
    until("a pod runs", lambda: any(p["status"].get("podIP") for p in pods(cluster, settings)))
    (pod,) = pods(cluster, settings)
    path = f"/api/v1/namespaces/{settings.namespace}/pods/{pod['metadata']['name']}"
    cluster.admin.merge(path, {"metadata": {"finalizers": ["example.com/slow"]}})
    cluster.plane.pause("kwok")
    try:
        cluster.admin.delete(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments/toy", propagationPolicy="Background")
        until("the deployment is gone", lambda: not _deployments(cluster, settings))
        waiting = asyncio.create_task(teardown(platform, Target("toy"), timeout=60))
        await asyncio.sleep(0)
        await platform.apply(want(owner=TWO), replacing=None)
        done, _ = await asyncio.wait({waiting}, timeout=20)
        assert done
        assert not waiting.result()
    finally:
        cluster.plane.resume("kwok")


async def test_only_what_is_tied_to_our_object_is_pruned(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings
) -> None:
    """Somebody put a Service of their own in our Service's place."""
    run = await platform.apply(want(), replacing=None)
    base = f"/api/v1/namespaces/{settings.namespace}/services"
    cluster.admin.delete(f"{base}/toy")
    cluster.admin.create(base, {"metadata": {"name": "toy"}, "spec": {"ports": [{"port": 80}]}})
    await platform.settle(await platform.apply(want(spec(service_name="none")), replacing=run))

    assert cluster.admin.get(f"{base}/toy") is not None


async def test_a_teardown_that_cannot_see_the_pods_is_not_done(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, toy: ToyRuntime
) -> None:
    run = await platform.apply(want(), replacing=None)
    verbs = ["get", "list", "watch", "delete"]
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs},
    ]
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.user(settings.namespace, rules))) as half_blind:
        with pytest.raises(StillThere, match=r"cannot be seen: .*list pods"):
            await half_blind.delete(run, timeout=2)


async def test_a_strangers_pod_under_our_label_is_not_waited_for(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings
) -> None:
    body = {"metadata": {"name": "theirs", "labels": {"toy": "toy"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    cluster.admin.create(f"/api/v1/namespaces/{settings.namespace}/pods", body)

    assert not await teardown(platform, Target("toy"), timeout=1)


async def test_of_two_writers_at_the_same_moment_one_is_told(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, toy: ToyRuntime
) -> None:
    """Both read the same object, and both send before either has an answer: the version in the write decides."""
    await platform.apply(want(), replacing=None)
    seen = await platform.find(Target("toy"))
    async with two_at_once(cluster, settings, first_kind(toy)) as (one, two):
        results = await asyncio.gather(
            one.apply(want(spec("i:2")), replacing=seen),
            two.apply(want(spec("i:3"), TWO), replacing=seen),
            return_exceptions=True,
        )
    lost = [r for r in results if isinstance(r, BaseException)]
    assert [type(r) for r in lost] == [Conflict]
    (won,) = (r for r in results if not isinstance(r, BaseException))
    stands = await platform.find(Target("toy"))
    assert stands is not None
    assert (stands.owner, stands.spec) == (won.owner, won.spec)
    image = deployment(cluster, settings)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == stands.spec.image, "the record and what runs are of one writer"  # type: ignore[union-attr]


def _deployments(cluster: Cluster, settings: Settings) -> list[dict[str, Any]]:
    return cluster.admin.items(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments")


def first_kind(toy: ToyRuntime) -> str:
    """The kind that carries the record: two writers meet there."""
    return "ConfigMap" if toy.RECORD is IN_CONFIG_MAP else "Deployment"


@asynccontextmanager
async def two_at_once(
    cluster: Cluster, settings: Settings, kind: str
) -> AsyncIterator[tuple[KubernetesPlatform, KubernetesPlatform]]:
    """Two platforms whose first writes of ``kind`` leave together, when both are ready to send."""
    ready: list[Client] = []
    go = asyncio.Event()

    def hold(client: Client) -> None:
        send = client.apply

        async def apply(k: Kind, *arguments: Any, dry_run: bool = False, **options: Any) -> Any:
            if k.kind == kind and not dry_run and client not in ready:
                ready.append(client)
                if len(ready) == 2:
                    go.set()
                await asyncio.wait_for(go.wait(), 20)
            return await send(k, *arguments, dry_run=dry_run, **options)

        client.apply = apply  # type: ignore[method-assign]

    hook = hook_for(cluster.kubeconfig)
    async with KubernetesPlatform(settings, make_hook=hook) as one, KubernetesPlatform(settings, make_hook=hook) as two:
        hold(one.client)
        hold(two.client)
        yield one, two


async def until_quiet(cluster: Cluster, settings: Settings) -> None:
    """Until the Deployment controller has seen the last generation."""

    def seen() -> bool:
        live = deployment(cluster, settings)
        return live.get("status", {}).get("observedGeneration") == live["metadata"]["generation"] and bool(
            live["status"].get("conditions")
        )

    until("the controller has seen it", seen)
