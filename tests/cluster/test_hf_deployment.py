"""HuggingFace-serve as a Deployment, from preflight to teardown:
real Deployment, ReplicaSet, garbage and quota controllers, kwok as kubelet."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from support.answers import Answers, answering
from support.cluster import Cluster
from support.hf import TWO, Namespace, first, unmanaged_node, want
from support.kube import until

from airflow_provider_llmserve.errors import BadInput, ServingFailed, StillThere, Superseded
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import change, serve, target_of, teardown, wait_until_proven
from airflow_provider_llmserve.readiness.state import ReasonClass, State
from airflow_provider_llmserve.runtimes.mark import ANNOTATION
from airflow_provider_llmserve.specs.changes import scaled

pytestmark = pytest.mark.cluster

NOT_FOUND = 'failed to pull and unpack image "x": failed to resolve reference "x": x: not found'


@pytest.fixture
def platform(hf_platform: KubernetesPlatform) -> KubernetesPlatform:
    return hf_platform


@pytest.fixture
def gpu(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The selector of a node with one GPU."""
    labels = {"pool": uuid.uuid4().hex[:8]}
    name = cluster.node(gpus=1, labels=labels)
    yield labels
    cluster.remove_node(name)


@pytest.fixture
def played(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The selector of a node whose pods the test plays itself."""
    name = unmanaged_node(cluster, f"n-{uuid.uuid4().hex[:8]}")
    yield {"played-by": name}
    cluster.remove_node(name)


async def test_serve_asks_the_model_through_its_service(platform: KubernetesPlatform, ns: Namespace, model: Answers) -> None:
    endpoint = await serve(platform, want(), timeout=60)
    assert endpoint.identity.runtime == "deployment"
    assert endpoint.service.url == f"http://bert.{ns.name}.svc:8080"
    assert endpoint.oip_url == endpoint.service.url
    assert "POST /v2/models/bert/infer" in model.asked
    (pod,) = ns.all("pods")
    ours = [a for a in pod["metadata"].get("annotations") or {} if "llmserve" in a]
    assert ours == [ANNOTATION], "owner data would roll the model out"


async def test_a_name_that_stands_by_the_other_runtime_is_a_finding(platform: KubernetesPlatform) -> None:
    assert await platform.preflight(want()) == []
    await platform.apply(want(), replacing=None)
    assert await platform.preflight(want()) == []
    found = await platform.preflight(want(runtime="inferenceservice"))

    assert any("bert stands as Deployment (runtime deployment); tear it down first" in f for f in found)


async def test_not_ready_before_it_answers(platform: KubernetesPlatform, ns: Namespace, model: Answers) -> None:
    model.status = 503
    run = await platform.apply(want(), replacing=None)
    found = await first(platform, run, lambda v: bool(v.ask))
    assert (found.state, found.reason) == (State.PROGRESSING, "not_answering")
    model.status = 200
    await wait_until_proven(platform, run, timeout=30)


async def test_a_redeploy_by_another_run_rolls_nothing_out(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(), timeout=60)
    pods, sets = ns.pod_uids(), [r["metadata"]["name"] for r in ns.all("replicasets")]
    template = (ns.get("deployments", "bert") or {})["spec"]["template"]
    await serve(platform, want(TWO), timeout=60)
    assert (ns.get("deployments", "bert") or {})["spec"]["template"] == template
    assert (ns.pod_uids(), [r["metadata"]["name"] for r in ns.all("replicasets")]) == (pods, sets)


async def test_the_same_deployment_again_writes_nothing(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(service_name="front"), timeout=60)
    before = ns.versions("deployments", "replicasets", "services", "pods")
    await serve(platform, want(service_name="front"), timeout=60)
    assert ns.versions("deployments", "replicasets", "services", "pods") == before


async def test_the_next_write_takes_back_what_another_set(
    platform: KubernetesPlatform, ns: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    await serve(platform, want(), timeout=60)
    live = ns.get("deployments", "bert") or {}
    ours = live["spec"]["template"]["spec"]["containers"][0]
    theirs = {**ours, "image": "theirs:1", "env": [*ours["env"], {"name": "THEIRS", "value": "1"}], "tty": True}
    ns.cluster.admin.merge(ns.path("deployments", "bert"), {"spec": {"template": {"spec": {"containers": [theirs]}}}})
    run = await platform.find(Target("bert"))
    assert run is not None
    with pytest.raises(Superseded):
        await wait_until_proven(platform, run, timeout=30)

    await serve(platform, want(), timeout=60)

    assert (ns.get("deployments", "bert") or {})["spec"]["template"] == live["spec"]["template"]
    assert any("env[THEIRS]" in r.getMessage() and "is taken back" in r.getMessage() for r in caplog.records)
    before = ns.versions("deployments", "replicasets", "services", "pods")
    await serve(platform, want(), timeout=60)
    assert ns.versions("deployments", "replicasets", "services", "pods") == before


async def test_an_update_is_proven_when_only_its_pods_are_left(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(), timeout=60)
    before = ns.pod_uids()
    await serve(platform, want(replicas=2, dtype="FLOAT32"), timeout=60)
    serving = [p for p in ns.all("pods") if not p["metadata"].get("deletionTimestamp")]
    assert len(serving) == 2
    assert not before & {p["metadata"]["uid"] for p in serving}
    assert all("--dtype=float32" in p["spec"]["containers"][0]["args"] for p in serving)


async def test_without_a_spare_gpu_a_surge_is_a_named_deadlock_and_in_place_is_none(
    platform: KubernetesPlatform, ns: Namespace, gpu: dict[str, str]
) -> None:
    one = {"resources": {"gpu": "1"}, "node_selector": gpu}
    await serve(platform, want(**one), timeout=60)
    run = await platform.apply(want(**one, dtype="FLOAT32"), replacing=await platform.find(Target("bert")))
    found = await first(platform, run, lambda v: v.reason == "rollout_deadlock")
    assert (found.state, found.reason_class) == (State.DEGRADED, ReasonClass.WAITING)
    assert "in_place" in found.advice
    await serve(platform, want(**one, dtype="FLOAT32", strategy="in_place"), timeout=60)


async def test_quota(platform: KubernetesPlatform, ns: Namespace) -> None:
    ns.create("resourcequotas", {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}})
    until("the quota is counted", lambda: ((ns.get("resourcequotas", "small") or {}).get("status") or {}).get("hard"))
    run = await platform.apply(want(replicas=2), replacing=None)
    found = await first(platform, run, lambda v: v.reason == "quota_exceeded" and v.state is State.DEGRADED)
    assert "1 of 2" in found.summary
    assert "exceeded quota" in found.detail


async def test_an_image_that_does_not_exist_fails_the_first_deployment_and_leaves_nothing(
    platform: KubernetesPlatform, ns: Namespace, played: dict[str, str]
) -> None:
    def play() -> None:
        (pod,) = until("a pod is bound", lambda: [p for p in ns.all("pods") if p["spec"].get("nodeName")], 60)
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "x": {NOT_FOUND}'}}
        server = {"name": "server", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
        ns.set_status(pod["metadata"]["name"], {"phase": "Pending", "containerStatuses": [server]})
        until("it is told to end", lambda: [p for p in ns.all("pods") if p["metadata"].get("deletionTimestamp")], 60)
        ns.cluster.admin.delete(ns.path("pods", pod["metadata"]["name"]), gracePeriodSeconds=0)

    kubelet = asyncio.create_task(asyncio.to_thread(play))
    with pytest.raises(ServingFailed, match="image_not_found") as failure:
        await serve(platform, want(node_selector=played, image="x"), timeout=60)
    await kubelet
    assert not failure.value.retryable
    assert ns.get("deployments", "bert") is None
    assert ns.all("pods") == []
    until("the Service is gone too", lambda: ns.get("services", "bert") is None)


async def test_scale_stop_and_resume(platform: KubernetesPlatform, ns: Namespace) -> None:
    target = target_of(await serve(platform, want(), timeout=60))
    first_pod = ns.pod_uids()
    await change(platform, target, lambda s, stopped: (scaled(s, replicas=3), stopped), timeout=60)
    assert first_pod < ns.pod_uids(), "scaling leaves running pods alone"
    assert len(ns.pod_uids()) == 3
    await change(platform, target, lambda s, stopped: (s, True), timeout=60)
    assert ns.pod_uids() == set()
    await change(platform, target, lambda s, stopped: (s, False), timeout=60)
    assert len(ns.pod_uids()) == 3


async def test_teardown_waits_until_the_pods_are_gone(platform: KubernetesPlatform, ns: Namespace, cluster: Cluster) -> None:
    endpoint = await serve(platform, want(service_name="front"), timeout=60)
    cluster.plane.pause("kwok")
    try:
        with pytest.raises(StillThere, match="Pod bert-"):
            await teardown(platform, target_of(endpoint), timeout=2)
    finally:
        cluster.plane.resume("kwok")
    await teardown(platform, target_of(endpoint), timeout=30)
    until("all pods are gone", lambda: not ns.all("pods"))
    until("both Services are gone", lambda: {s["metadata"]["name"] for s in ns.all("services")} <= {"kubernetes"})


async def test_the_alias_of_another_serving_run_is_refused(platform: KubernetesPlatform, ns: Namespace) -> None:
    """Taken over, it would lead the other's clients to a model that nobody has proven yet."""
    older = await serve(platform, want(name="older", service_name="front"), timeout=60)
    before = ns.get("services", "front")
    with pytest.raises(BadInput, match=r"Service front stands there.*belongs to Deployment older"):
        await serve(platform, want(TWO, name="newer", service_name="front"), timeout=60)
    assert ns.get("services", "front") == before
    assert ns.get("deployments", "newer") is None
    await teardown(platform, target_of(older), timeout=30)
    until("the alias is gone", lambda: ns.get("services", "front") is None)
    await serve(platform, want(TWO, name="newer", service_name="front"), timeout=60)


async def test_an_external_name_alias(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(service_type="ExternalName", service_name="front"), timeout=60)
    assert (ns.get("services", "front") or {})["spec"]["externalName"] == f"bert.{ns.name}.svc.cluster.local"
    await serve(platform, want(service_type="ClusterIP", service_name="front"), timeout=60)
    assert (ns.get("services", "front") or {})["spec"]["type"] == "ClusterIP"


async def test_a_default_that_was_chosen_is_told(platform: KubernetesPlatform, caplog: pytest.LogCaptureFixture) -> None:
    assert await platform.preflight(want(resources={"gpu": "1"}, disable_lower_case=True)) == []
    (told,) = [r.getMessage() for r in caplog.records if "strategy" in r.getMessage()]
    assert "spare GPU" in told


async def test_preflight_reads_the_cluster(platform: KubernetesPlatform, ns: Namespace) -> None:
    ns.create("services", {"metadata": {"name": "front"}, "spec": {"ports": [{"port": 80}]}})
    with pytest.raises(BadInput) as refused:
        await serve(platform, want(service_name="front", secrets=["hub"], path="pvc://weights/bert"), timeout=60)
    text = str(refused.value)
    for word in ("Service front stands there", "Secret 'hub'", "PersistentVolumeClaim 'weights'"):
        assert word in text
    assert ns.get("deployments", "bert") is None


async def test_volumes_of_all_kinds_are_made_and_go_with_the_deployment(platform: KubernetesPlatform, ns: Namespace) -> None:
    made = {"volume_type": "persistent_volume_claim", "name": "made", "mount_path": "/made", "spec": {"size": "1Gi"}}
    run = await platform.apply(want(volumes=[made]), replacing=None)
    assert ns.get("persistentvolumeclaims", "bert-made") is not None
    claim = ns.get("persistentvolumeclaims", "bert-made") or {}
    again = await platform.apply(want(), replacing=run)
    assert (ns.get("persistentvolumeclaims", "bert-made") or {})["metadata"]["uid"] == claim["metadata"]["uid"]
    assert again.spec is not None
    back = await platform.apply(want(volumes=[made]), replacing=again)  # a rollback finds the claim with its data
    assert (ns.get("persistentvolumeclaims", "bert-made") or {})["metadata"]["uid"] == claim["metadata"]["uid"]
    again = await platform.apply(want(), replacing=back)
    await platform.settle(again)
    until("the claim that the proven spec lacks is gone", lambda: _terminating_or_gone(ns, "bert-made"))
    assert again.uid == run.uid


def _terminating_or_gone(ns: Namespace, claim: str) -> bool:
    live = ns.get("persistentvolumeclaims", claim)
    return live is None or bool(live["metadata"].get("deletionTimestamp"))


async def test_a_page_that_says_200_is_no_answer(platform: KubernetesPlatform, ns: Namespace, model: Answers) -> None:
    """A login in front of the Service was taken for the model (cases: cluster/hf_answer.py)."""
    good, model.text = model.text, "<html><title>Sign in</title></html>"
    run = await platform.apply(want(), replacing=None)
    found = await first(platform, run, lambda v: bool(v.ask) and v.reason != "not_asked")
    assert (found.state, found.reason) == (State.PROGRESSING, "not_answering")
    assert "bert: the answer is not an inference but '<html><title>Sign in" in found.summary
    model.text = good
    await wait_until_proven(platform, run, timeout=30)


async def test_a_redirect_is_no_answer_whatever_stands_at_its_end(
    platform: KubernetesPlatform, ns: Namespace, model: Answers
) -> None:
    model.login = True
    run = await platform.apply(want(), replacing=None)
    found = await first(platform, run, lambda v: bool(v.ask) and v.reason != "not_asked")
    assert (found.state, found.reason) == (State.PROGRESSING, "not_answering")
    assert "bert answers 302" in found.summary


async def test_one_of_two_pods_that_does_not_answer_is_found_though_the_service_answers(
    platform: KubernetesPlatform, cluster: Cluster, ns: Namespace, model: Answers
) -> None:
    run = await platform.apply(want(replicas=2), replacing=None)
    await asyncio.to_thread(until, "two pods", lambda: len(ns.all("pods")) == 2)
    one, other = (pod["metadata"]["name"] for pod in ns.all("pods"))
    async with answering(status=503, text="engine dead") as hung:
        await asyncio.to_thread(cluster.route_pod, ns.name, one, 8080, hung.port)
        found = await first(platform, run, lambda v: v.reason == "not_answering" and f"pod {one}" in v.summary)
        assert (found.state, found.detail) == (State.DEGRADED, "engine dead")
        assert "GET /v2/models/bert/ready" in hung.asked
        hung.status, hung.text = 200, model.text
        said = await wait_until_proven(platform, run, timeout=30)
    assert {ask.pod for ask in said.ask} == {"", one, other}
