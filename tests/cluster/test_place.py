"""An endpoint is used in the place where it lives, and what has expired there is swept away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from support.cluster import Cluster, hook_for
from support.hf import ONE, Namespace, want
from support.kube import until

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import Elsewhere, NotFound, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes import preflight
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import change, confirm, expired, serve, sweep, target_of, teardown
from airflow_provider_llmserve.runtimes import runtimes_of
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

pytestmark = pytest.mark.cluster

Open = Callable[..., KubernetesPlatform]


@pytest.fixture
def there(cluster: Cluster) -> Open:
    """A platform of another namespace, and of another login."""

    def make(namespace: str, kubeconfig: dict[str, Any] | None = None) -> KubernetesPlatform:
        settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
        return KubernetesPlatform(settings, make_hook=hook_for(kubeconfig or cluster.kubeconfig))

    return make


@pytest.fixture
async def deployed(hf_platform: KubernetesPlatform) -> Endpoint:
    return await serve(hf_platform, want(), timeout=30, wait=False)


async def test_in_another_namespace_nothing_is_green(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, deployed: Endpoint, there: Open
) -> None:
    uid = (cluster.admin.get(f"/api/v1/namespaces/{ns.name}") or {})["metadata"]["uid"]
    assert (deployed.identity.cluster, deployed.identity.namespace) == (uid, ns.name)
    other = cluster.namespace()
    before = ns.get("deployments", "bert")
    async with there(other) as platform:
        for use in (
            teardown(platform, target_of(deployed), timeout=5),
            change(platform, target_of(deployed), lambda s, stopped: (s, True), timeout=5),
            confirm(platform, target_of(deployed)),
        ):
            with pytest.raises(Elsewhere, match=f"(?s){ns.name}.*{other}"):
                await use
    now = ns.get("deployments", "bert")
    assert (now or {})["spec"] == (before or {})["spec"]
    await confirm(hf_platform, target_of(deployed))


async def test_a_namespace_made_anew_is_another_place_and_one_that_is_gone_is_none(
    cluster: Cluster, deployed: Endpoint, ns: Namespace, there: Open
) -> None:
    """The uid of a namespace tells clusters apart in the same way."""
    path = f"/api/v1/namespaces/{ns.name}"
    cluster.admin.delete(path)
    until("the namespace is gone", lambda: cluster.admin.get(path) is None, 60)
    async with there(ns.name) as platform:
        with pytest.raises(NotFound, match=f"there is no namespace {ns.name}"):
            await teardown(platform, target_of(deployed), timeout=5)
    cluster.admin.create("/api/v1/namespaces", {"metadata": {"name": ns.name}})
    async with there(ns.name) as platform:
        with pytest.raises(Elsewhere, match=f"uid {deployed.identity.cluster}"):
            await teardown(platform, target_of(deployed), timeout=5)


async def test_without_the_right_to_read_the_namespace_its_name_is_compared(
    cluster: Cluster, deployed: Endpoint, ns: Namespace, there: Open
) -> None:
    kinds = {(p.group, p.resource) for r in runtimes_of() for p in preflight.permissions(r)} - {("", "namespaces")}
    rules = [{"apiGroups": [g], "resources": [r], "verbs": ["*"]} for g, r in kinds]
    async with there(ns.name, cluster.user(ns.name, rules)) as platform:
        assert (await platform.place()).cluster == ""
        await confirm(platform, target_of(deployed))
        moved = deployed.identity.model_copy(update={"namespace": "elsewhere"})
        with pytest.raises(Elsewhere):
            await confirm(platform, target_of(deployed.model_copy(update={"identity": moved})))
        assert await teardown(platform, target_of(deployed), timeout=30)


async def test_only_what_expired_here_is_swept_away(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, there: Open
) -> None:
    ours = ONE.model_copy(update={"instance": "i"})

    async def deploy(name: str, owner: Owner = ours, ttl: float | None = 60, **fields: Any) -> Want:
        made = want(owner, name=name, stopped=True, **fields)
        made = Want(spec=made.spec, name=name, owner=owner, stopped=True, ttl=ttl)
        await hf_platform.apply(made, replacing=None)
        return made

    model = KubeAIText.parse({"url": "hf://a/b", "model_name": "model"})
    await hf_platform.apply(Want(spec=model, name="model", owner=ours, stopped=True, ttl=60), replacing=None)
    await deploy("expired")
    await deploy("service", runtime="inferenceservice")
    again = await deploy("again")
    await deploy("later", ttl=7200)
    await deploy("without", ttl=None)
    await deploy("others", ours.model_copy(update={"instance": "j"}))
    theirs = want(name="theirs").spec
    assert theirs is not None
    labelled = ns.get("deployments", "expired") or {}
    spec = {k: v for k, v in labelled["spec"].items() if k in ("selector", "template", "replicas")}
    ns.create("deployments", {"metadata": {"name": "theirs", "labels": labelled["metadata"]["labels"]}, "spec": spec})
    async with there(cluster.namespace()) as elsewhere:
        assert await elsewhere.runs() == []

    now = datetime.now(timezone.utc) + timedelta(seconds=3600)
    found = await expired(hf_platform, instance="i", now=now)
    assert sorted((r.kind, r.name) for r in found) == [
        ("huggingfaceserve", "again"),
        ("huggingfaceserve", "expired"),
        ("huggingfaceserve", "service"),
        ("kubeai-text", "model"),
    ]
    stale = next(r for r in found if r.name == "again")
    await hf_platform.apply(
        Want(spec=again.spec, name="again", owner=ours.model_copy(update={"run_id": "later"}), stopped=True, ttl=7200),
        replacing=await hf_platform.find(Target("again")),
    )
    with pytest.raises(Superseded, match="deployed again by somebody else meanwhile"):
        await hf_platform.delete(stale, timeout=5)
    swept = await sweep(hf_platform, instance="i", now=now, timeout=30, dry_run=False)
    assert sorted(s["name"] for s in swept if s["deleted"]) == ["expired", "model", "service"]
    until(
        "they are gone",
        lambda: {d["metadata"]["name"] for d in ns.all("deployments")} == {"again", "later", "without", "others", "theirs"},
    )


async def test_a_kind_that_may_not_be_listed_is_said_and_the_others_are_swept(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, there: Open, caplog: pytest.LogCaptureFixture
) -> None:
    await hf_platform.apply(want(stopped=True), replacing=None)
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}]
    async with there(ns.name, cluster.user(ns.name, rules)) as platform:
        assert [r.name for r in await platform.runs()] == ["bert"]
    assert "not everything could be looked at: list models" in caplog.text
    async with there(ns.name, cluster.user(ns.name, [])) as platform:
        with pytest.raises(Exception, match="cannot list resource"):
            await platform.runs()
