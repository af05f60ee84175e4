"""The client's verbs against a real API server."""

from __future__ import annotations

import pytest
from support.cluster import Cluster, hook_for

from airflow_provider_llmserve.errors import AccessDenied, Conflict, NotFound, Rejected
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP, CRD, DEPLOYMENT, SERVICE

pytestmark = pytest.mark.cluster


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_apply_creates_then_updates_and_the_same_again_writes_nothing(client: Client, namespace: str) -> None:
    first = await client.apply(CONFIG_MAP, namespace, config_map("x", a="1"))
    second = await client.apply(CONFIG_MAP, namespace, config_map("x", b="2"))
    third = await client.apply(CONFIG_MAP, namespace, config_map("x", b="2"))

    assert second["data"] == {"b": "2"}, "a field left out is given up"
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert third["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_a_dry_run_writes_nothing(client: Client, namespace: str) -> None:
    answer = await client.apply(CONFIG_MAP, namespace, config_map("x", a="1"), dry_run=True)

    assert answer["data"] == {"a": "1"}
    assert await client.get(CONFIG_MAP, namespace, "x") is None


async def test_a_stale_version_in_an_apply_is_a_conflict(client: Client, namespace: str) -> None:
    first = await client.apply(CONFIG_MAP, namespace, config_map("x", a="1"))
    await client.apply(CONFIG_MAP, namespace, config_map("x", a="2"))
    stale = config_map("x", a="3")
    stale["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"]

    with pytest.raises(Conflict, match=r"patch ConfigMap .*/x: 409"):
        await client.apply(CONFIG_MAP, namespace, stale)


async def test_another_managers_field_is_a_conflict_unless_forced(client: Client, cluster: Cluster, namespace: str) -> None:
    cluster.admin.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map("x", a="theirs"))

    with pytest.raises(Conflict):
        await client.apply(CONFIG_MAP, namespace, config_map("x", a="ours"), force=False)
    assert (await client.apply(CONFIG_MAP, namespace, config_map("x", a="ours")))["data"] == {"a": "ours"}


async def test_an_unknown_field_is_rejected_and_tried_once(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    once = client._once

    async def counted(*args):
        tries.append(args)
        return await once(*args)

    monkeypatch.setattr(client, "_once", counted)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"ports": [{"port": 80}], "colour": "red"},
    }
    with pytest.raises(Rejected, match="failed to create typed patch object") as caught:
        await client.apply(SERVICE, namespace, service)

    assert caught.value.status == 500
    assert len(tries) == 1


async def test_an_invalid_value_is_rejected(client: Client, namespace: str) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [{"port": 80000}]}}
    with pytest.raises(Rejected, match="80000") as caught:
        await client.apply(SERVICE, namespace, service)

    assert caught.value.status == 422


async def test_get_is_none_only_where_there_is_nothing(client: Client, cluster: Cluster, namespace: str) -> None:
    assert await client.get(CONFIG_MAP, namespace, "absent") is None
    async with Client(hook_for(cluster.user(namespace, []))) as stranger:
        with pytest.raises(AccessDenied, match=f"verb get on configmaps in namespace {namespace}"):
            await stranger.get(CONFIG_MAP, namespace, "absent")


async def test_a_refused_login_is_named(cluster: Cluster, namespace: str) -> None:
    async with Client(hook_for(cluster.plane.kubeconfig("no-such-token"))) as stranger:
        with pytest.raises(AccessDenied, match=r"login .* refused or has expired") as caught:
            await stranger.get(CONFIG_MAP, namespace, "x")

    assert caught.value.status == 401


async def test_list_reads_every_page(client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_llmserve.platforms.kubernetes.client.PAGE", 2)
    for i in range(5):
        await client.apply(CONFIG_MAP, namespace, {**config_map(f"x{i}"), "metadata": {"name": f"x{i}", "labels": {"l": "1"}}})

    listing = await client.list(CONFIG_MAP, namespace, labels="l=1")

    assert [o["metadata"]["name"] for o in listing.items] == [f"x{i}" for i in range(5)]
    assert {o["kind"] for o in listing.items} == {"ConfigMap"}


async def test_watch_goes_on_from_a_list(client: Client, namespace: str) -> None:
    await client.apply(CONFIG_MAP, namespace, config_map("before"))
    listing = await client.list(CONFIG_MAP, namespace)
    await client.apply(CONFIG_MAP, namespace, config_map("after"))
    await client.delete(CONFIG_MAP, namespace, "before", propagation="Background")

    events = client.watch(CONFIG_MAP, namespace, version=listing.version, seconds=30)
    opened, first, second = await anext(events), await anext(events), await anext(events)
    await events.aclose()

    assert opened == {"type": "OPENED"}
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in (first, second)] == [("ADDED", "after"), ("DELETED", "before")]


async def test_delete_takes_only_the_object_it_names(client: Client, namespace: str) -> None:
    await client.apply(CONFIG_MAP, namespace, config_map("x"))
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAP, namespace, "x", uid="00000000-0000-0000-0000-000000000000")
    live = await client.get(CONFIG_MAP, namespace, "x")
    assert live is not None
    await client.delete(CONFIG_MAP, namespace, "x", uid=live["metadata"]["uid"], propagation="Background")

    assert await client.get(CONFIG_MAP, namespace, "x") is None
    with pytest.raises(NotFound):
        await client.delete(CONFIG_MAP, namespace, "x")


async def test_merge_patch_and_scale(client: Client, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await client.apply(
        DEPLOYMENT, namespace, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}
    )

    await client.patch(DEPLOYMENT, namespace, "x", {"metadata": {"annotations": {"n": "1"}}})
    await client.scale(DEPLOYMENT, namespace, "x", 0)
    live = await client.get(DEPLOYMENT, namespace, "x")

    assert live is not None
    assert live["metadata"]["annotations"]["n"] == "1"
    assert live["spec"]["replicas"] == 0


async def test_cluster_scoped_kinds_are_read_without_a_namespace(client: Client, namespace: str) -> None:
    assert await client.get(CRD, namespace, "absent.example.com") is None


async def test_permissions_are_asked(client: Client, cluster: Cluster, namespace: str) -> None:
    login = cluster.user(namespace, [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}])
    async with Client(hook_for(login)) as user:
        assert await user.may(namespace, "get", "", "pods/log")
        assert not await user.may(namespace, "get", "", "pods")


async def test_what_the_api_server_warns_of_is_logged_once(
    client: Client, cluster: Cluster, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    labels = {"pod-security.kubernetes.io/warn": "restricted"}
    cluster.admin.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"selector": {"matchLabels": {"a": "b"}}, "template": pod}
    for i in range(2):
        manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"d{i}"}, "spec": body}
        await client.apply(DEPLOYMENT, namespace, manifest, dry_run=True)
    (said,) = (r.getMessage() for r in caplog.records if "the API server warns" in r.getMessage())
    assert "would violate PodSecurity" in said
