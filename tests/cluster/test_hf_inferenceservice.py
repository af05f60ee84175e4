"""HuggingFace-serve as an InferenceService, from preflight to teardown:
the stand-in for KServe's controller, real controllers below it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.answers import Answers
from support.cluster import Cluster, hook_for
from support.hf import TWO, Namespace, first, want
from support.kserve_controller import KServe
from support.kube import until
from support.verdicts import ends

from airflow_provider_llmserve.errors import BadInput, ServingFailed, StillThere
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import change, serve, target_of, teardown
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs.changes import scaled

pytestmark = pytest.mark.cluster

ISVC: dict[str, Any] = {"runtime": "inferenceservice"}


@pytest.fixture
def kserve(cluster: Cluster, namespace: str) -> Iterator[KServe]:
    with KServe(cluster, namespace) as k:
        yield k


@pytest.fixture
async def platform(
    cluster: Cluster, settings: Settings, node: str, model: Answers, kserve: KServe
) -> AsyncIterator[KubernetesPlatform]:
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as p:
        yield p


def live_pods(ns: Namespace) -> dict[str, dict[str, Any]]:
    return {p["metadata"]["uid"]: p for p in ns.all("pods") if not p["metadata"].get("deletionTimestamp")}


async def test_serve(platform: KubernetesPlatform, ns: Namespace, model: Answers) -> None:
    endpoint = await serve(platform, want(**ISVC), timeout=60)
    assert endpoint.identity.runtime == "inferenceservice"
    assert endpoint.service.url == f"http://bert-predictor.{ns.name}.svc.cluster.local"
    assert "POST /v2/models/bert/infer" in model.asked
    record = ns.get("configmaps", "bert-llmserve") or {}
    assert record["metadata"]["ownerReferences"][0]["kind"] == "InferenceService"


async def test_a_redeploy_writes_nothing_that_rolls_out(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(**ISVC), timeout=60)
    pods, before = ns.pod_uids(), ns.get("inferenceservices", "bert") or {}
    sets = ns.versions("replicasets")
    await serve(platform, want(**ISVC), timeout=60)
    await serve(platform, want(TWO, **ISVC), timeout=60)
    after = ns.get("inferenceservices", "bert") or {}
    assert after["spec"] == before["spec"]
    assert {k: after["metadata"].get(k) for k in ("annotations", "labels", "generation")} == {
        k: before["metadata"].get(k) for k in ("annotations", "labels", "generation")
    }
    assert ns.pod_uids() == pods
    assert ns.versions("replicasets") == sets
    assert '"r2"' in (ns.get("configmaps", "bert-llmserve") or {})["data"]["owner"]


async def test_ready_is_not_believed_before_the_controller_rendered_the_update(
    platform: KubernetesPlatform, ns: Namespace, kserve: KServe
) -> None:
    await serve(platform, want(**ISVC), timeout=60)
    kserve.pause()
    run = await platform.apply(want(**ISVC, dtype="FLOAT32"), replacing=await platform.find(Target("bert")))
    found = await first(platform, run, lambda v: v.reason == "controller_behind")
    assert found.state is State.PROGRESSING
    conditions = {c["type"]: c["status"] for c in (ns.get("inferenceservices", "bert") or {})["status"]["conditions"]}
    assert conditions["Ready"] == "True", "the condition lies all the while"
    kserve.resume()
    await first(platform, run, lambda v: v.state is State.READY)
    (pod,) = live_pods(ns).values()
    assert "--dtype=float32" in pod["spec"]["containers"][0]["args"]


async def test_scaling_adds_pods_and_touches_none(platform: KubernetesPlatform, ns: Namespace) -> None:
    target = target_of(await serve(platform, want(**ISVC), timeout=60))
    before = ns.pod_uids()
    await change(platform, target, lambda s, stopped: (scaled(s, replicas=3), stopped), timeout=60)
    assert before < set(live_pods(ns))
    assert len(live_pods(ns)) == 3


async def test_stop_and_resume(platform: KubernetesPlatform, ns: Namespace) -> None:
    target = target_of(await serve(platform, want(**ISVC), timeout=60))
    await change(platform, target, lambda s, stopped: (s, True), timeout=60)
    assert ns.all("pods") == []
    run = await platform.find(target)
    assert run is not None
    assert (await first(platform, run, lambda v: True)).state is State.SCALED_TO_ZERO
    await change(platform, target, lambda s, stopped: (s, False), timeout=60)
    assert len(live_pods(ns)) == 1


async def test_an_autoscaled_one_is_proven_within_its_bounds(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(**ISVC, min_replicas=2, max_replicas=4, scale_metric="cpu", scale_target=60), timeout=60)
    assert len(live_pods(ns)) == 2


async def test_an_unknown_runtime_is_named_and_the_old_version_serves_on(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(**ISVC), timeout=60)
    run = await platform.apply(want(**ISVC, serving_runtime="absent"), replacing=await platform.find(Target("bert")))
    found = await first(platform, run, lambda v: v.reason == "unknown_runtime")
    assert found.state is State.DEGRADED
    assert len(live_pods(ns)) == 1


async def test_without_a_spare_gpu_it_is_a_named_deadlock(platform: KubernetesPlatform, ns: Namespace, cluster: Cluster) -> None:
    pool = {"pool": uuid.uuid4().hex[:8]}
    node = cluster.node(gpus=1, labels=pool)
    one = {**ISVC, "resources": {"gpu": "1"}, "node_selector": pool}
    await serve(platform, want(**one), timeout=60)
    run = await platform.apply(want(**one, dtype="FLOAT32"), replacing=await platform.find(Target("bert")))
    assert (await first(platform, run, lambda v: v.reason == "rollout_deadlock")).state is State.DEGRADED
    (image,) = {p["spec"]["containers"][0]["image"] for p in live_pods(ns).values()}
    assert image.endswith("-gpu"), "KServe appends it"
    cluster.remove_node(node)


async def test_without_its_controller_a_deletion_is_not_done(platform: KubernetesPlatform, ns: Namespace, kserve: KServe) -> None:
    endpoint = await serve(platform, want(**ISVC), timeout=60)
    kserve.pause()
    with pytest.raises(StillThere, match=r"inferenceservice\.finalizers"):
        await teardown(platform, target_of(endpoint), timeout=2)
    kserve.resume()
    await teardown(platform, target_of(endpoint), timeout=30)
    assert ns.all("pods") == []
    assert ns.get("inferenceservices", "bert") is None
    await asyncio.to_thread(until, "the record is collected", lambda: ns.get("configmaps", "bert-llmserve") is None)


async def test_knative_mode_without_knative_is_refused_before_the_write(platform: KubernetesPlatform, ns: Namespace) -> None:
    with pytest.raises(BadInput, match="Knative is not installed"):
        await serve(platform, want(**ISVC, deployment_mode="Knative"), timeout=60)
    run = await platform.apply(want(**ISVC, deployment_mode="Knative"), replacing=None)
    found = await first(platform, run, lambda v: v.reason == "knative_missing")
    assert ends(found)


async def test_an_update_that_kserve_would_skip_is_refused(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(**ISVC), timeout=60)
    annotation = {"serving.kserve.io/disable-auto-update": "true"}
    ns.cluster.admin.merge(ns.path("inferenceservices", "bert"), {"metadata": {"annotations": annotation}})
    with pytest.raises(BadInput, match="disable-auto-update"):
        await serve(platform, want(**ISVC, dtype="FLOAT32"), timeout=60)


async def test_a_first_deployment_that_fails_leaves_nothing(platform: KubernetesPlatform, ns: Namespace) -> None:
    with pytest.raises((ServingFailed, BadInput)):
        await serve(platform, want(**ISVC, path="minio://bucket/m"), timeout=60)
    assert ns.get("inferenceservices", "bert") is None
