"""KubeAI-text from preflight to teardown: the Kubernetes platform, a real API server, and the stand-in for KubeAI's manager."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.cluster import Cluster, hook_for
from support.kube import until
from support.kubeai_manager import KubeAI
from support.kubeai_run import LAW, MED, ONE, TWO, model, pods, spec, volume, want
from support.kubeai_world import World
from support.toy import first
from support.verdicts import ends

from airflow_provider_llmserve.errors import BadInput, ServingFailed, StillThere, Superseded
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import change, serve, target_of, teardown, wait_until_proven
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText
from airflow_provider_llmserve.specs.changes import scaled
from airflow_provider_llmserve.specs.kubeai import Adapter

pytestmark = pytest.mark.cluster


@pytest.fixture
def platform(kubeai_platform: KubernetesPlatform) -> KubernetesPlatform:
    return kubeai_platform


def written(cluster: Cluster, namespace: str) -> Any:
    """What any write of ours would change; the manager's status writes do not count."""
    live = model(cluster, namespace)
    assert live is not None
    metadata = live["metadata"]
    times = [e["time"] for e in metadata["managedFields"] if e["manager"] == "airflow-llmserve"]
    return metadata["generation"], metadata["annotations"], times


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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"url": "pvc://models/llama-v1"}, {"url": "pvc://models/llama-v2"}),
        ({"priority_class": "high"}, {}),
        ({"processors": 1}, {"processors": 2}),
        ({"files": [{"path": "/f", "content": "old"}]}, {"files": [{"path": "/f", "content": "new"}]}),
    ],
    ids=["another claim", "a priority class taken out", "more processors", "content of a file"],
)
async def test_what_no_answer_shows_is_not_proven_by_the_pods_of_before(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Green after 0.2 s on the old weights (cases: cluster/e2e_kubeai.py 1 and 2, kubeai_pure.py A to D)."""
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    if cluster.admin.get(f"{path}/high") is None:
        cluster.admin.create(path, {"metadata": {"name": "high"}, "value": 1})
    await serve(platform, want(spec(**before)), timeout=30)
    old = {p["metadata"]["name"] for p in pods(cluster, namespace)}
    await serve(platform, want(spec(**after), TWO), timeout=30)
    assert not old & {p["metadata"]["name"] for p in pods(cluster, namespace)}


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


async def test_each_of_many_adapters_is_seen_on_each_replica(platform: KubernetesPlatform) -> None:
    """vLLM's list of twelve adapters is longer than any other answer that is kept."""
    many = [{"name": f"a{n}", "url": f"hf://acme/lora-{n}"} for n in range(12)]
    run = await platform.apply(want(spec(adapters=many, args=["--max-loras=12"], scaling={"min_replicas": 2})), replacing=None)
    said = await wait_until_proven(platform, run, timeout=60)

    assert (said.state, said.detail) == (State.READY, ""), "no replica that could not be asked"


async def test_who_takes_a_wait_up_knows_what_the_update_replaced(platform: KubernetesPlatform, kubeai: KubeAI) -> None:
    """A pod with an argument that the update took away has all that the update asks for."""
    await serve(platform, want(spec(args=["--max-loras=4", "--enforce-eager"])), timeout=30)
    await kubeai.stop()
    await platform.apply(want(), replacing=await platform.find(Target("alpha")))
    taken_up = await platform.find(Target("alpha"))
    assert taken_up is not None
    said = await first(platform, taken_up, lambda v: v.state is State.READY or "the mark of another change" in v.detail)

    assert said.reason == "old_version_serves"


async def test_pods_of_another_writers_arguments_are_not_of_our_next_write(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, kubeai: KubeAI
) -> None:
    """They carry our mark, are of KubeAI's newest revision, and stay until the manager acts (v0.22.1: called Ready)."""
    endpoint = await serve(platform, want(), timeout=30)
    path = f"/apis/kubeai.org/v1/namespaces/{namespace}/models/alpha"
    cluster.admin.merge(path, {"spec": {"args": ["--theirs"]}})

    def rolled() -> bool:
        arguments = [p["spec"]["containers"][0]["args"] for p in pods(cluster, namespace)]
        return len(arguments) == 1 and "--theirs" in arguments[0] and all(_ready(p) for p in pods(cluster, namespace))

    await asyncio.to_thread(until, "theirs serves alone", rolled)
    await kubeai.stop()
    run = await platform.apply(want(), replacing=await platform.find(target_of(endpoint)))
    said = await first(platform, run, lambda v: v.state is State.READY or v.reason == "controller_behind")
    assert said.reason == "controller_behind"
    await kubeai.start()
    assert (await wait_until_proven(platform, run, timeout=30)).state is State.READY
    assert all("--theirs" not in p["spec"]["containers"][0]["args"] for p in pods(cluster, namespace))


async def test_of_two_objects_of_one_name_ours_is_found(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    await platform.apply(want(), replacing=None)
    predictor = {"predictor": {"model": {"modelFormat": {"name": "huggingface"}, "storageUri": "hf://acme/other"}}}
    theirs = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "alpha"},
        "spec": predictor,
    }
    cluster.admin.create(f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices", theirs)
    found = await platform.find(Target("alpha"))

    assert found is not None
    assert (found.kind, found.owner) == ("kubeai-text", ONE)


async def test_teardown_waits_for_the_pods(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    endpoint = await serve(platform, want(), timeout=30)
    assert await teardown(platform, target_of(endpoint), timeout=90)
    assert model(cluster, namespace) is None
    assert pods(cluster, namespace) == []
    assert not await teardown(platform, target_of(endpoint), timeout=30)


async def test_a_pod_with_adapters_holds_a_teardown_up_for_its_grace(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, world: World
) -> None:
    """Its loader is ``sleep infinity`` as PID 1, which hears no SIGTERM (seen on a real node)."""
    world.grace = 600
    endpoint = await serve(platform, want(spec(adapters=[LAW])), timeout=30)
    with pytest.raises(StillThere, match="still hold their resources"):
        await teardown(platform, target_of(endpoint), timeout=2)
    (pod,) = pods(cluster, namespace)
    cluster.admin.delete(f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}", gracePeriodSeconds=0)
    await teardown(platform, target_of(endpoint), timeout=30)


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


async def test_the_next_write_takes_back_what_another_set(platform: KubernetesPlatform, cluster: Cluster, namespace: str) -> None:
    await serve(platform, want(), timeout=30)
    wanted = model(cluster, namespace)
    assert wanted is not None
    path = f"/apis/kubeai.org/v1/namespaces/{namespace}/models/alpha"
    cluster.admin.merge(path, {"spec": {"image": "theirs:1", "env": {"THEIRS": "1"}, "args": ["--theirs"]}})

    await serve(platform, want(), timeout=30)

    live = model(cluster, namespace)
    assert live is not None
    assert live["spec"] == wanted["spec"]


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


async def test_a_manager_that_was_never_there_is_named(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as platform:
        assert any("does not run in namespace" in f for f in await platform.preflight(want()))
        run = await platform.apply(want(), replacing=None)
        said = await first(platform, run, lambda v: v.reason == "namespace_not_watched", seconds=25)
    assert (said.state, ends(said)) == (State.UNMANAGED, True)


async def test_a_cached_model_is_loaded_served_and_evicted(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str
) -> None:
    volume(cluster, namespace)
    endpoint = await serve(platform, want(spec(cache_profile="shared")), timeout=60)
    assert await teardown(platform, target_of(endpoint), timeout=60)
    assert model(cluster, namespace) is None


async def test_a_stuck_finalizer_is_named_and_removed_only_when_asked_for(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str, kubeai: KubeAI
) -> None:
    volume(cluster, namespace)
    endpoint = await serve(platform, want(spec(cache_profile="shared")), timeout=60)
    del kubeai.system["cacheProfiles"]["shared"]
    with pytest.raises(StillThere, match="cache-eviction"):
        await teardown(platform, target_of(endpoint), timeout=2)
    assert await teardown(platform, target_of(endpoint), timeout=8, force=True)


async def test_preflight_tells_everything_at_once_and_writes_nothing(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str
) -> None:
    bad = spec(profile="h100", cache_profile="nowhere", secrets=["absent"], adapters=[LAW, MED], args=[], engine="VLLM")
    with pytest.raises(BadInput) as caught:
        await serve(platform, want(bad), timeout=5)
    text = str(caught.value)
    for word in ("h100", "nowhere", "Secret absent"):
        assert word in text
    assert model(cluster, namespace) is None


async def test_preflight_refuses_what_kubeai_does_not_survive(platform: KubernetesPlatform) -> None:
    await serve(platform, want(spec(adapters=[LAW])), timeout=30)
    findings = await platform.preflight(want(spec(adapters=[{"name": "law", "url": "hf://acme/lora-law-v2"}])))
    assert any("new name" in f for f in findings)


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions") or ())


def _applied_by_us(live: dict[str, Any]) -> dict[str, Any]:
    """The spec fields that our field manager owns."""
    ours = [e for e in live["metadata"]["managedFields"] if e["manager"] == "airflow-llmserve"]
    return {k.removeprefix("f:"): v for e in ours for k, v in (e["fieldsV1"].get("f:spec") or {}).items()}


async def test_pods_of_others_under_the_models_label_do_not_hold_a_teardown_up(
    platform: KubernetesPlatform, cluster: Cluster, namespace: str
) -> None:
    """A chat's own Deployment whose pods say which model they talk to."""
    labels = {"model": "alpha", "app": "chat-ui"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "ui", "image": "chat-ui:1"}]}}
    body = {"metadata": {"name": "chat-ui"}, "spec": {"selector": {"matchLabels": {"app": "chat-ui"}}, "template": pod}}
    cluster.admin.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    until("the chat runs", lambda: any(p["status"].get("podIP") for p in pods(cluster, namespace)))
    (chat,) = pods(cluster, namespace)
    assert not await teardown(platform, Target("alpha", "kubeai-text"), timeout=5)
    assert [p["metadata"]["uid"] for p in pods(cluster, namespace)] == [chat["metadata"]["uid"]]

    endpoint = await serve(platform, want(), timeout=30)  # KubeAI itself deletes pods of others under its label, again and again
    assert await teardown(platform, target_of(endpoint), timeout=30)
    assert not await teardown(platform, target_of(endpoint), timeout=5)
    assert all(p["metadata"]["name"].startswith("chat-ui-") for p in pods(cluster, namespace))
