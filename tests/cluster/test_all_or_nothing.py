"""A deployment is written whole or not at all: what can be known is refused before the first write,
what fails later is taken back."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from support.answers import Answers
from support.cluster import Cluster, hook_for
from support.hf import TWO, Namespace, want
from support.kube import until
from support.toy import spec as toy_spec
from support.toy import want as toy_want
from support.toy_runtime import ToyRuntime

from airflow_provider_llmserve.errors import BadInput, LLMServeError, Rejected, Superseded
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes import preflight
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve, wait_until_proven
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.runtimes import runtime
from airflow_provider_llmserve.runtimes.record_home import IN_CONFIG_MAP
from airflow_provider_llmserve.settings import Settings

pytestmark = pytest.mark.cluster

CLAIM = [{"volume_type": "persistent_volume_claim", "name": "data", "mount_path": "/data", "spec": {"size": "1Gi"}}]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def quota(ns: Namespace, **hard: str) -> None:
    path = f"/api/v1/namespaces/{ns.name}/resourcequotas"
    ns.cluster.admin.create(path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    until("the quota is counted", lambda: (ns.cluster.admin.get(f"{path}/q") or {}).get("status", {}).get("hard"))


def policy(cluster: Cluster, ns: str, kind: str, spec: dict[str, Any], binding: dict[str, Any]) -> None:
    """An admission policy for the Deployments of one namespace."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}]
    match = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}, "resourceRules": rules}
    cluster.admin.create(
        f"{ADMISSION}/{kind}policies",
        {"metadata": {"name": name}, "spec": {"failurePolicy": "Fail", "matchConstraints": match, **spec}},
    )
    cluster.admin.create(
        f"{ADMISSION}/{kind}policybindings", {"metadata": {"name": name}, "spec": {"policyName": name, **binding}}
    )


def probe(name: str) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"probe": name}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    return {"metadata": {"name": name}, "spec": {"replicas": 0, "selector": {"matchLabels": {"probe": name}}, "template": pod}}


def refused_by_policy(ns: Namespace) -> bool:
    answer = ns.cluster.admin.request("POST", ns.path("deployments") + "?dryRun=All", probe(f"x-{uuid.uuid4().hex[:6]}"))
    return answer.status_code == 403


def rewritten_by_policy(ns: Namespace) -> bool:
    answer = ns.cluster.admin.request("POST", ns.path("deployments") + "?dryRun=All", probe(f"x-{uuid.uuid4().hex[:6]}")).json()
    return bool(answer["spec"]["template"]["spec"]["containers"][0]["image"].startswith("mirror.corp/"))


def all_of_ours(ns: Namespace) -> list[str]:
    kinds = ("deployments", "services", "persistentvolumeclaims", "secrets", "configmaps", "pods")
    return [o["metadata"]["name"] for k in kinds for o in ns.all(k) if o["metadata"]["name"].startswith(("bert", "toy"))]


async def test_every_refusal_is_found_before_anything_is_written(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster
) -> None:
    """A quota, a limit range and an admission policy, each of another object, each in its own words."""
    quota(ns, services="0")
    limits = {"limits": [{"type": "PersistentVolumeClaim", "min": {"storage": "10Gi"}}]}
    cluster.admin.create(f"/api/v1/namespaces/{ns.name}/limitranges", {"metadata": {"name": "l"}, "spec": limits})
    message = {
        "expression": "'cost-centre' in object.metadata.?labels.orValue({})",
        "message": "every workload needs the label cost-centre",
    }
    policy(
        cluster,
        ns.name,
        "validatingadmission",
        {"validations": [{**message, "reason": "Forbidden"}]},
        {"validationActions": ["Deny"]},
    )
    until("the policy is in force", lambda: refused_by_policy(ns))
    with pytest.raises(BadInput) as refused:
        await serve(hf_platform, want(volumes=CLAIM), timeout=30)
    text = str(refused.value)
    for words in (
        "exceeded quota: q",
        "minimum storage usage per PersistentVolumeClaim is 10Gi",
        "every workload needs the label cost-centre",
    ):
        assert words in text
    assert "Missing permission" not in text
    assert "deploy/rbac.yaml" not in text
    assert all_of_ours(ns) == []


async def test_the_right_for_claims_is_needed_where_one_is_rendered(cluster: Cluster, settings: Settings, ns: Namespace) -> None:
    permissions = preflight.permissions(runtime("deployment"))
    rules = [
        {"apiGroups": [p.group], "resources": [p.resource], "verbs": list(p.verbs)}
        for p in permissions
        if p.resource != "persistentvolumeclaims"
    ]
    rules.append({"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch"]})
    rules.append({"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices"], "verbs": ["get"]})
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.user(settings.namespace, rules))) as platform:
        assert not [f for f in await platform.preflight(want()) if "persistentvolumeclaims" in f]
        with pytest.raises(BadInput, match="may not create, delete, patch persistentvolumeclaims in namespace"):
            await serve(platform, want(volumes=CLAIM), timeout=5)
    assert all_of_ours(ns) == []


def blind(platform: KubernetesPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a preflight: the cluster changes between the look and the write."""

    async def nothing(_: Any) -> list[str]:
        return []

    monkeypatch.setattr(platform, "preflight", nothing)


async def test_a_refusal_after_the_first_write_takes_all_of_it_back(
    hf_platform: KubernetesPlatform, ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind(hf_platform, monkeypatch)
    quota(ns, **{"services.nodeports": "0"})
    with pytest.raises(Rejected, match=r"(?s)exceeded quota: q.*The failed deployment was removed; none of its pods is left"):
        await serve(hf_platform, want(service_type="NodePort"), timeout=30)
    until("nothing is left", lambda: all_of_ours(ns) == [])

    await serve(hf_platform, want(replicas=2), timeout=30)
    before = ns.get("deployments", "bert") or {}
    with pytest.raises(Rejected, match="the last good spec was put back"):
        await serve(hf_platform, want(TWO, service_type="NodePort", dtype="float16"), timeout=30)
    after = ns.get("deployments", "bert") or {}
    assert after["spec"] == before["spec"]
    assert (
        after["metadata"]["annotations"]["llmserve.airflow/owner"] == before["metadata"]["annotations"]["llmserve.airflow/owner"]
    )
    run = await hf_platform.find(Target("bert"))
    assert run is not None
    assert run.proven


@pytest.mark.parametrize("update", [False, True], ids=["a first deployment", "an update"])
async def test_a_kill_between_two_writes_and_a_state_store_that_is_away(
    hf_platform: KubernetesPlatform, ns: Namespace, update: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if update:
        await serve(hf_platform, want(), timeout=30)
    before = (ns.get("deployments", "bert") or {}).get("spec")

    def away(_: Any) -> None:
        raise ConnectionError("no answer")

    with pytest.raises(ConnectionError):
        await serve(hf_platform, want(TWO, dtype="float16"), timeout=30, on_applied=away)
    until("it was taken back", lambda: (ns.get("deployments", "bert") or {}).get("spec") == before)

    told: list[str] = []
    held = asyncio.Event()
    apply = hf_platform.client.apply

    async def hold(kind: Any, *arguments: Any, dry_run: bool = False, **options: Any) -> Any:
        if kind.plural == "services" and not dry_run and not held.is_set():
            held.set()
            await asyncio.Event().wait()
        return await apply(kind, *arguments, dry_run=dry_run, **options)

    monkeypatch.setattr(hf_platform.client, "apply", hold)
    task = asyncio.create_task(
        serve(hf_platform, want(TWO, dtype="float16"), timeout=30, on_applied=lambda run: told.append(run.uid))
    )
    await held.wait()
    assert told == [(ns.get("deployments", "bert") or {})["metadata"]["uid"]], "known before the second write"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    until("it was taken back", lambda: (ns.get("deployments", "bert") or {}).get("spec") == before)
    if not update:
        until("with all its pods", lambda: all_of_ours(ns) == [])


@pytest.mark.parametrize("toy", [IN_CONFIG_MAP], indirect=True)
async def test_a_record_is_never_left_without_the_object_it_speaks_of(
    platform: KubernetesPlatform, ns: Namespace, toy: ToyRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is written first: where its object is then refused or the task is killed, the record is what it was before."""
    blind(platform, monkeypatch)
    apply = platform.client.apply
    faults: list[BaseException] = [Rejected("admission says no"), asyncio.CancelledError(), Rejected("no")]

    async def refuse(kind: Any, *arguments: Any, dry_run: bool = False, **options: Any) -> Any:
        if kind.plural == "deployments" and not dry_run and faults:
            raise faults.pop(0)
        return await apply(kind, *arguments, dry_run=dry_run, **options)

    monkeypatch.setattr(platform.client, "apply", refuse)
    for _ in range(2):
        with pytest.raises((LLMServeError, asyncio.CancelledError)):
            await serve(platform, toy_want(), timeout=30, wait=False)
        assert all_of_ours(ns) == []
    fault = faults.pop()
    run = await platform.apply(toy_want(), replacing=None)
    await platform.settle(run)
    before = (ns.get("configmaps", "toy-llmserve") or {})["data"]
    faults.append(fault)
    with pytest.raises(Rejected, match="the last good spec was put back"):
        await serve(platform, toy_want(toy_spec("i:2"), TWO), timeout=30)
    after = (ns.get("configmaps", "toy-llmserve") or {})["data"]
    assert {k: after.get(k) for k in ("owner", "spec", "unproven")} == {k: before.get(k) for k in ("owner", "spec", "unproven")}


async def test_what_admission_rewrites_in_our_own_request_is_no_other_writer(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, model: Answers
) -> None:
    """A registry's mirror: every deployment was called superseded (cases: cluster/hf_pure.py E), and at first its GPU stayed."""
    await serve(hf_platform, want(name="other"), timeout=30)
    containers = "object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{name: c.name, image: %s})"
    image = 'c.image.startsWith("mirror.corp/") ? c.image : "mirror.corp/" + c.image'
    nested = "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: %s}}}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": nested % (containers % image)}}
    policy(cluster, ns.name, "mutatingadmission", {"reinvocationPolicy": "Never", "mutations": [mutation]}, {})
    until("the policy is in force", lambda: rewritten_by_policy(ns))
    for wanted in (want(), want(TWO, name="other", dtype="float16")):
        assert (await serve(hf_platform, wanted, timeout=30)).proven
        (container,) = (ns.get("deployments", wanted.name) or {})["spec"]["template"]["spec"]["containers"]
        assert container["image"].startswith("mirror.corp/")
        run = await hf_platform.find(Target(wanted.name))
        assert run is not None
        generation = (ns.get("deployments", wanted.name) or {})["metadata"]["generation"]
        await serve(hf_platform, wanted, timeout=30)
        assert (ns.get("deployments", wanted.name) or {})["metadata"]["generation"] == generation, "the same again rolls nothing"


@pytest.mark.parametrize("change", ["image", "env", "command", "nodeSelector", "taken out", "replicas", "restart"])
async def test_what_somebody_sets_afterwards_is_theirs_and_a_number_of_replicas_may_be(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, model: Answers, change: str
) -> None:
    await serve(hf_platform, want(), timeout=30)
    run = await hf_platform.find(Target("bert"))
    assert run is not None
    path = f"/apis/apps/v1/namespaces/{ns.name}/deployments/bert"
    (container,) = (ns.get("deployments", "bert") or {})["spec"]["template"]["spec"]["containers"]
    if change == "replicas":
        cluster.admin.merge(f"{path}/scale", {"spec": {"replicas": 2}})
    elif change == "restart":
        stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-25T12:00:00Z"}
        cluster.admin.merge(path, {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    else:
        more: dict[str, Any] = {
            "image": {"image": "other:1"},
            "env": {"env": [*container["env"], {"name": "X", "value": "1"}]},
            "command": {"command": ["sleep", "infinity"]},
            "taken out": {"env": None},
        }.get(change, {})
        pod = {"containers": [{**container, **more}]} if more else {"nodeSelector": {"kubernetes.io/os": "linux"}}
        cluster.admin.merge(path, {"spec": {"template": {"spec": pod}}})
        with pytest.raises(Superseded, match=r"another writer changed spec\.template"):
            await wait_until_proven(hf_platform, run, timeout=30)
        return
    assert (await wait_until_proven(hf_platform, run, timeout=30)).state is State.READY
    if change == "replicas":
        assert len(ns.all("pods")) == 2


async def test_a_number_that_is_left_to_others_stays_as_it_is(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, model: Answers
) -> None:
    """Leaving out what one owns resets it to 1 (Kubernetes 1.36): so it is handed over first."""

    def number() -> int:
        return int((ns.get("deployments", "bert") or {})["spec"]["replicas"])

    await serve(hf_platform, want(replicas=None), timeout=30)
    assert number() == 1, "the API server's own default"
    await serve(hf_platform, want(replicas=2), timeout=30)
    pods = ns.pod_uids()
    await serve(hf_platform, want(replicas=None), timeout=30)
    assert (number(), ns.pod_uids()) == (2, pods)
    cluster.admin.merge(f"{ns.path('deployments', 'bert')}/scale", {"spec": {"replicas": 3}})
    await serve(hf_platform, want(replicas=None, envs={"A": "1"}), timeout=30)
    assert number() == 3
    await serve(hf_platform, want(replicas=1, envs={"A": "1"}), timeout=30)
    assert number() == 1
