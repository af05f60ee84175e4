"""The Kubernetes platform when things go wrong: refusals before any write, crashes, an API server that restarts, secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import pytest
from support.answers import answering
from support.cluster import Cluster, hook_for
from support.fake_api import until_async
from support.kube import until
from support.toy import ONE, first, is_ready, pods, spec, want
from support.toy_runtime import ToyRuntime

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes import verdicts
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.settings import Settings

pytestmark = pytest.mark.cluster

TOKEN = "hf_a-token-nobody-may-see"


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> str:
    value = {"conn_type": "generic", "password": TOKEN, "extra": {"my_key": "a-second-secret-value"}}
    monkeypatch.setenv("AIRFLOW_CONN_HUB", json.dumps(value))
    return "conn:hub"


async def test_preflight_names_everything_at_once_and_writes_nothing(
    cluster: Cluster, settings: Settings, toy: ToyRuntime
) -> None:
    login = cluster.user(settings.namespace, [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"]}])
    async with KubernetesPlatform(settings, make_hook=hook_for(login)) as platform:
        found = await platform.preflight(want(spec(secrets=["absent"])))

    text = "\n".join(found)
    assert "may not create, delete, get, list, patch, watch deployments.apps" in text
    assert "may not list, watch pods in namespace" in text
    assert "Secret absent does not exist" in text
    assert "pods/log" not in text, "what is optional is no finding"
    assert pods(cluster, settings) == []


async def test_preflight_says_what_the_api_server_would_refuse(platform: KubernetesPlatform) -> None:
    assert await platform.preflight(want()) == []
    found = await platform.preflight(Want(spec=spec(), name="No_Name", owner=ONE))

    assert any("Deployment" in f for f in found)
    assert all("refuses it" in f for f in found)
    assert any("RFC 1123" in f for f in found)


async def test_preflight_names_a_namespace_that_is_missing(cluster: Cluster, settings: Settings, toy: ToyRuntime) -> None:
    nowhere = settings.model_copy(update={"namespace": "nowhere"})
    async with KubernetesPlatform(nowhere, make_hook=hook_for(cluster.kubeconfig)) as platform:
        found = await platform.preflight(want())

    assert any("namespace nowhere does not exist" in f for f in found)


async def test_values_of_a_connection_are_in_our_secret_and_nowhere_else(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, connection: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = want(spec(secrets=[connection]))
    assert await platform.preflight(wanted) == []
    run = await platform.apply(wanted, replacing=None)
    base = f"/api/v1/namespaces/{settings.namespace}"
    (secret,) = [s for s in cluster.admin.items(f"{base}/secrets") if s["metadata"]["name"].startswith("toy-llmserve-")]
    live = cluster.admin.get(f"/apis/apps/v1/namespaces/{settings.namespace}/deployments/toy")
    record = cluster.admin.items(f"{base}/configmaps")

    assert live is not None
    values = {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
    assert values == {"HF_TOKEN": TOKEN, "MY_KEY": "a-second-secret-value"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == run.uid
    assert live["spec"]["template"]["spec"]["containers"][0]["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    everywhere = json.dumps([live, record, secret["metadata"]]) + caplog.text + repr(run)
    for value in (*values.values(), *secret["data"].values()):
        assert value not in everywhere
    again = await platform.apply(wanted, replacing=await platform.find(Target("toy")))
    assert again.version == (await platform.find(Target("toy"))).version  # type: ignore[union-attr]


async def test_a_connection_that_is_missing_is_a_finding(platform: KubernetesPlatform) -> None:
    wanted = want(spec(secrets=["conn:absent"]))

    assert await platform.preflight(wanted) == ["secrets: conn:absent: there is no Airflow connection of that id"]
    with pytest.raises(BadInput, match="absent"):
        await platform.apply(wanted, replacing=None)


async def test_the_log_of_a_crashed_container_is_part_of_the_verdict(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    cluster.plane.pod_log.write_text("2026-01-01T00:00:00.000000000Z stdout F cannot find libcuda\n")
    run = await platform.apply(want(spec(node_selector={"ready-after": "never"})), replacing=None)
    until("the pod is placed", lambda: [p for p in pods(cluster, settings) if p["spec"].get("nodeName")])
    name = pods(cluster, settings)[0]["metadata"]["name"]
    crashed = {
        "name": "server",
        "image": "i:1",
        "imageID": "",
        "ready": False,
        "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }
    path = f"/api/v1/namespaces/{settings.namespace}/pods/{name}/status"
    cluster.admin.merge(path, {"status": {"phase": "Running", "containerStatuses": [crashed]}})
    v = await first(platform, run, lambda v: v.detail)

    assert "cannot find libcuda" in v.detail


async def test_the_log_of_a_server_that_hangs_is_part_of_the_verdict_and_read_on(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    """It runs, fails its probe, and says why in its log alone."""
    cluster.plane.pod_log.write_text("2026-01-01T00:00:00.000000000Z stdout F waiting for the other rank\n")
    run = await platform.apply(want(spec(node_selector={"ready-after": "never"})), replacing=None)
    until("the pod is placed", lambda: [p for p in pods(cluster, settings) if p["spec"].get("nodeName")])
    (pod,) = pods(cluster, settings)
    name, base = pod["metadata"]["name"], f"/api/v1/namespaces/{settings.namespace}"
    running = {"name": "server", "image": "i:1", "imageID": "", "ready": False, "restartCount": 0}
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    cluster.admin.merge(f"{base}/pods/{name}/status", {"status": {"containerStatuses": [{**running, "state": state}]}})
    about = {"kind": "Pod", "name": name, "uid": pod["metadata"]["uid"], "namespace": settings.namespace}
    unhealthy = {"type": "Warning", "reason": "Unhealthy", "message": "Readiness probe failed", "involvedObject": about}
    cluster.admin.create(f"{base}/events", {"metadata": {"name": "unhealthy"}, **unhealthy})
    assert "waiting for the other rank" in (await first(platform, run, lambda v: v.detail)).detail

    with cluster.plane.pod_log.open("a") as log:
        log.write("2026-01-01T00:00:01.000000000Z stdout F NCCL timed out\n")
    await first(platform, run, lambda v: "NCCL timed out" in v.detail)


async def test_a_wait_survives_a_restart_of_the_api_server(
    platform: KubernetesPlatform, cluster: Cluster, settings: Settings, node: str
) -> None:
    async with answering() as model:
        cluster.route("*:8080", model.port)
        run = await platform.apply(want(spec(node_selector={"ready-after": "never"})), replacing=None)
        states: list[str] = []

        def note(v: Verdict) -> bool:
            states.append(f"{v.state.value} {v.reason}")
            return is_ready(v)

        waiting = asyncio.create_task(first(platform, run, note, seconds=90))
        await until_async("the wait has begun", lambda: states)
        cluster.plane.kill("kube-apiserver")
        try:
            await until_async("it says that it cannot see", lambda: "progressing not_observed" in states)
        finally:
            cluster.plane.again("kube-apiserver")
        await until_async("the pod is placed", lambda: [p for p in pods(cluster, settings) if p["spec"].get("nodeName")])
        name = pods(cluster, settings)[0]["metadata"]["name"]
        base = f"/api/v1/namespaces/{settings.namespace}/pods/{name}"
        cluster.admin.merge(base, {"metadata": {"annotations": {"testbed/ready-after": "0s"}}})
        await waiting

    assert all(s.startswith("progressing") for s in states[:-1])


async def test_a_verdict_comes_anew_though_nothing_changes(
    platform: KubernetesPlatform, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "PERIOD", 0.05)
    run = await platform.apply(want(stopped=True), replacing=None)
    seen: list[State] = []

    def eighth(v: Verdict) -> bool:
        seen.append(v.state)
        return len(seen) == 8

    await first(platform, run, eighth)
    assert set(seen[2:]) == {State.SCALED_TO_ZERO}


async def test_the_platform_logs_in_by_the_airflow_connection(
    cluster: Cluster, settings: Settings, toy: ToyRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"kube_config": json.dumps(cluster.kubeconfig)}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    async with KubernetesPlatform(settings) as platform:
        assert await platform.find(Target("toy")) is None
        await serve(platform, want(stopped=True), timeout=30)


async def test_a_verdict_is_given_where_the_connection_may_not_read_logs(
    cluster: Cluster, settings: Settings, toy: ToyRuntime, platform: KubernetesPlatform
) -> None:
    run = await platform.apply(want(stopped=True), replacing=None)
    read = [
        {
            "apiGroups": ["", "apps"],
            "resources": ["deployments", "replicasets", "pods", "configmaps"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.user(settings.namespace, read))) as reader:
        await first(reader, run, lambda v: v.state is State.SCALED_TO_ZERO)
