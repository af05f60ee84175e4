"""The published Role is enough, and nothing in it is too much.

Every runtime is taken through its life with a login that has only the Role, while the verbs that its requests need are noted:
none may be refused, and each granted verb must have been needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.answers import answering
from support.cluster import Cluster, hook_for
from support.kube import until
from support.toy import first

from airflow_provider_llmserve.errors import Rejected
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes import preflight
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.kubernetes.wire import Request
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes import runtime_for, runtimes_of
from airflow_provider_llmserve.runtimes.kinds import POD
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec

pytestmark = pytest.mark.cluster

RBAC = {d["kind"]: d for d in yaml.safe_load_all((Path(__file__).parents[2] / "deploy" / "rbac.yaml").read_text())}
SPECS: dict[str, ServeSpec] = {
    "kubeai": KubeAIText.parse(
        {"url": "hf://a/b", "model_name": "m", "secrets": ["given", "conn:hub"], "args": ["--x"], "priority_class": "none"}
    ),
    "deployment": HuggingFaceServe.parse(
        {
            "path": "hf://a/b",
            "model_name": "m",
            "huggingface_task": "text_generation",
            "secrets": ["given", "conn:hub"],
            "service_account": "default",
            "service_name": "m-alias",
            "priority_class": "none",
            "runtime_class": "none",
            "volumes": [
                {
                    "volume_type": "persistent_volume_claim",
                    "name": "v",
                    "mount_path": "/v",
                    "spec": {"size": "1Gi", "storageClass": "none"},
                }
            ],
        }
    ),
    "inferenceservice": HuggingFaceServe.parse(
        {
            "path": "hf://a/b",
            "model_name": "m",
            "runtime": "inferenceservice",
            "secrets": ["given", "conn:hub"],
            "service_account": "default",
        }
    ),
}

Right = tuple[str, str, str]


def granted() -> set[Right]:
    """Verb, group and resource of every rule."""
    rules = [*RBAC["Role"]["rules"], *RBAC["ClusterRole"]["rules"]]
    return {(v, g, r) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def published() -> set[Right]:
    """What the runtimes say that they need."""
    needed = [p for runtime in runtimes_of() for p in preflight.permissions(runtime)]
    return {(v, p.group, p.resource) for p in (*needed, preflight.OWNED_SECRET) for v in p.verbs}


def right_of(req: Request) -> Right:
    resource, _, rest = req.resource.partition(".")
    group, _, subresource = rest.partition("/")
    return req.verb, group, resource + (f"/{subresource}" if subresource else "")


class Noted:
    """Notes the right that each request of a platform needs, and which were refused."""

    def __init__(self, platform: KubernetesPlatform) -> None:
        self.used: set[Right] = set()
        self.refused: set[Right] = set()
        client: Any = platform.client
        once, exchange = client._once, client._exchange

        async def noted_once(req: Request, timeout: float) -> Any:
            answer = await once(req, timeout)
            self.note(req, created=answer.status == 201, refused=answer.status == 403)
            return answer

        def noted_exchange(req: Request, timeout: Any) -> Any:
            self.note(req)
            return exchange(req, timeout)

        client._once, client._exchange = noted_once, noted_exchange

    def note(self, req: Request, *, created: bool = False, refused: bool = False) -> None:
        right = right_of(req)
        if "selfsubject" in right[2]:
            return
        self.used.add(right)
        if created:  # a server-side apply that creates needs both
            self.used.add(("create", *right[1:]))
        if refused:
            self.refused.add(right)


async def life(platform: KubernetesPlatform, cluster: Cluster, settings: Settings, wanted: Want) -> None:
    """From preflight to teardown, with a write that is refused, a pod that crashed,
    a question to the Service and one to a pod."""
    runtime = runtime_for(wanted.spec)
    await platform.preflight(wanted)
    await platform.place()
    await platform.runs()
    await refused(platform, wanted)
    run = await platform.apply(wanted, replacing=await platform.find(Target(wanted.name, wanted.spec.kind)))
    labels = next(w.labels for w in runtime.watched(wanted.name) if w.kind == POD)
    crash(cluster, settings, wanted.name, labels)
    await first(platform, run, lambda v: True)
    endpoint = await platform.endpoint(run)
    async with answering() as model:
        cluster.route("*:8000", model.port)
        cluster.route("*:8080", model.port)
        asks = [Ask(endpoint.served_names()[0])]
        if any(p.resource == "pods/proxy" for p in runtime.PERMISSIONS):
            asks.append(Ask("x", pod="crashed"))
        await platform._asker.ask(runtime, endpoint, asks)
    await platform.settle(run)
    less = {"secrets": (), "volumes": (), "service_name": None}
    fewer = wanted.spec.model_copy(update={k: v for k, v in less.items() if k in type(wanted.spec).model_fields})
    run = await platform.apply(Want(fewer, wanted.name, wanted.owner), replacing=run)
    await platform.settle(run)
    cluster.admin.delete(f"/api/v1/namespaces/{settings.namespace}/pods/crashed", gracePeriodSeconds=0)
    await platform.delete(run, timeout=30)


async def refused(platform: KubernetesPlatform, wanted: Want) -> None:
    """A first deployment whose primary object is refused: what was written before it goes again."""
    apply = platform.client.apply

    async def refuse(kind: Any, *arguments: Any, **options: Any) -> Any:
        if kind == runtime_for(wanted.spec).PRIMARY:
            raise Rejected("admission says no")
        return await apply(kind, *arguments, **options)

    platform.client.apply = refuse  # type: ignore[method-assign]
    with pytest.raises(Rejected):
        await platform.apply(wanted, replacing=None)
    platform.client.apply = apply  # type: ignore[method-assign]


def crash(cluster: Cluster, settings: Settings, name: str, labels: str) -> None:
    path = f"/api/v1/namespaces/{settings.namespace}/pods"
    pod = {"metadata": {"name": "crashed", "labels": dict(pair.split("=") for pair in labels.split(","))}}
    pod["metadata"]["annotations"] = {"testbed/ready-after": "never"}  # type: ignore[assignment]
    cluster.admin.create(path, {**pod, "spec": {"containers": [{"name": "server", "image": "i"}]}})
    until("the pod is placed", lambda: (cluster.admin.get(f"{path}/crashed") or {})["spec"].get("nodeName"))
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    container = {"name": "server", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
    cluster.admin.merge(f"{path}/crashed/status", {"status": {"phase": "Running", "containerStatuses": [container]}})


@pytest.fixture
def settings(namespace: str) -> Settings:
    return Settings(platform="kubernetes", namespace=namespace, access="api-server")


def login(cluster: Cluster, settings: Settings) -> dict[str, Any]:
    return cluster.user(settings.namespace, RBAC["Role"]["rules"], everywhere=RBAC["ClusterRole"]["rules"])


async def used_in_a_life(cluster: Cluster, settings: Settings, wanted: Want) -> Noted:
    cluster.admin.create(f"/api/v1/namespaces/{settings.namespace}/secrets", {"metadata": {"name": "given"}})
    async with KubernetesPlatform(settings, make_hook=hook_for(login(cluster, settings))) as platform:
        noted = Noted(platform)
        await life(platform, cluster, settings, wanted)
    return noted


def test_the_role_grants_what_the_runtimes_say_they_need() -> None:
    assert granted() == published()


async def test_the_role_is_enough_and_not_too_much(
    cluster: Cluster, settings: Settings, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HUB", json.dumps({"conn_type": "generic", "password": "hf_some-token"}))
    used: set[Right] = set()
    for spec in SPECS.values():
        own = settings.model_copy(update={"namespace": cluster.namespace()})
        noted = await used_in_a_life(cluster, own, Want(spec, "m", Owner(dag_id="d", run_id="r", task_id="t")))
        assert noted.refused == set()
        used |= noted.used

    assert not (used - granted()), f"needed and not granted: {sorted(used - granted())}"
    assert not (granted() - used), f"granted and never needed: {sorted(granted() - used)}"


@pytest.mark.parametrize("name", sorted(SPECS))
async def test_each_required_right_that_is_taken_away_is_named_before_any_write(
    cluster: Cluster, settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HUB", json.dumps({"conn_type": "generic", "password": "hf_some-token"}))
    wanted = Want(SPECS[name], "m", Owner())
    runtime = runtime_for(wanted.spec)
    required = [(v, p.group, p.resource) for p in preflight.permissions(runtime, wanted.spec) if not p.optional for v in p.verbs]
    everything = [(v, p.group, p.resource) for p in preflight.permissions(runtime, wanted.spec) for v in p.verbs]
    for right in dict.fromkeys(required):
        rules = [{"apiGroups": [g], "resources": [r], "verbs": [v]} for v, g, r in everything if (v, g, r) != right]
        async with KubernetesPlatform(settings, make_hook=hook_for(cluster.user(settings.namespace, rules))) as platform:
            found = await platform.preflight(wanted)
        verb, group, resource = right
        what = f"{resource}.{group}" if group else resource
        assert f"may not {verb} {what} in namespace {settings.namespace}" in "\n".join(found), right
