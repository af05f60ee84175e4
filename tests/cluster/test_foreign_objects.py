"""Objects of others under the names that ours would have:
refused, and to the last byte what they were, whatever becomes of us."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.answers import Answers
from support.hf import TWO, Namespace, want
from support.kube import until
from support.toy import spec as toy_spec
from support.toy import want as toy_want
from support.toy_runtime import ToyRuntime

from airflow_provider_llmserve.errors import BadInput, NotOurs, WaitTimeout
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve, target_of, teardown
from airflow_provider_llmserve.runtimes.record_home import IN_CONFIG_MAP

pytestmark = pytest.mark.cluster

HELM = {"app.kubernetes.io/managed-by": "Helm", "team": "other"}
OURS = {"app.kubernetes.io/managed-by": "airflow-llmserve"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {"volume_type": "persistent_volume_claim", "name": "data", "mount_path": "/data", "spec": {"size": "1Gi"}}
PORTS = {"ports": [{"port": 80}]}
BESIDE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a claim": ("persistentvolumeclaims", {"metadata": {"name": "bert-data"}, "spec": CLAIM}, {"volumes": [VOLUME]}),
    "a Service": ("services", {"metadata": {"name": "bert"}, "spec": PORTS}, {}),
    "an alias": ("services", {"metadata": {"name": "front"}, "spec": PORTS}, {"service_name": "front"}),
}
"""What stands there: its collection, its body, and what in our spec wants the name."""


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HUB", json.dumps({"conn_type": "generic", "password": "hf_some-token"}))


def theirs(ns: Namespace, kind: str, body: dict[str, Any], **metadata: Any) -> Callable[[], dict[str, Any] | None]:
    """Create it; what it is now, all of it."""
    name = body["metadata"]["name"]
    ns.create(kind, {**body, "metadata": {**body["metadata"], **metadata}})
    if kind == "persistentvolumeclaims":  # its protection's finalizer comes a moment later
        until("the claim is settled", lambda: (ns.get(kind, name) or {})["metadata"].get("finalizers"))
    return lambda: ns.get(kind, name)


@pytest.mark.parametrize("labels", [HELM, {}, OURS], ids=["Helm's", "without labels", "copied with our label"])
@pytest.mark.parametrize(("kind", "body", "fields"), BESIDE.values(), ids=BESIDE)
async def test_it_is_refused_and_outlives_serve_update_failure_and_teardown(
    hf_platform: KubernetesPlatform,
    ns: Namespace,
    kind: str,
    body: dict[str, Any],
    fields: dict[str, Any],
    labels: dict[str, str],
) -> None:
    now = theirs(ns, kind, body, labels=labels)
    before = now()

    with pytest.raises(BadInput, match=f"{body['metadata']['name']} stands there and is not this serving run's"):
        await serve(hf_platform, want(**fields), timeout=30)
    assert not ns.all("deployments")

    if fields:  # a deployment that does not want the name yet, then does
        endpoint = await serve(hf_platform, want(), timeout=30)
        with pytest.raises(BadInput, match="stands there"):
            await serve(hf_platform, want(TWO, **fields), timeout=30)
        found = await hf_platform.find(Target("bert"))
        with pytest.raises(NotOurs, match="stands there"):  # by a write that no preflight went before
            await hf_platform.apply(want(TWO, **fields), replacing=found)
        run = await hf_platform.find(Target("bert"))
        assert run is not None
        assert (run.owner, run.spec) == (endpoint.identity.owner, want().spec), "refused before the first write"
        await teardown(hf_platform, target_of(endpoint), timeout=30)
    until("ours are gone", lambda: not ns.all("pods"))
    assert now() == before


async def test_what_comes_between_the_look_and_the_write_is_given_up_again(
    hf_platform: KubernetesPlatform, ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's claim is made in the moment before ours is written:
    nothing of ours stays in it, and our deployment goes."""
    kind, body, fields = BESIDE["a claim"]
    made: list[Callable[[], dict[str, Any] | None]] = []
    apply = hf_platform.client.apply

    async def slow(k: Any, *arguments: Any, dry_run: bool = False, **options: Any) -> Any:
        if k.plural == kind and not dry_run and not made:
            made.append(theirs(ns, kind, body))
        return await apply(k, *arguments, dry_run=dry_run, **options)

    monkeypatch.setattr(hf_platform.client, "apply", slow)
    with pytest.raises(NotOurs, match=r"(?s)somebody else made it.*The failed deployment was removed"):
        await serve(hf_platform, want(**fields), timeout=30)
    left = made[0]() or {}
    assert left["metadata"].get("labels") is None
    assert left["metadata"].get("ownerReferences") is None
    assert left["spec"]["resources"] == CLAIM["resources"]
    until("nothing of ours is left", lambda: not ns.all("pods") and not ns.all("deployments"))


async def test_what_takes_the_place_of_ours_between_the_look_and_the_write_is_left(
    hf_platform: KubernetesPlatform, ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve(hf_platform, want(service_name="front"), timeout=30)
    made: list[Callable[[], dict[str, Any] | None]] = []
    before: list[dict[str, Any] | None] = []
    apply = hf_platform.client.apply

    async def slow(k: Any, ns_name: str, manifest: Any, *, dry_run: bool = False, **options: Any) -> Any:
        if manifest["metadata"]["name"] == "front" and not dry_run and not made:
            ns.cluster.admin.delete(ns.path("services", "front"))
            made.append(theirs(ns, "services", BESIDE["an alias"][1], labels=HELM))
            before.append(made[0]())
        return await apply(k, ns_name, manifest, dry_run=dry_run, **options)

    monkeypatch.setattr(hf_platform.client, "apply", slow)
    with pytest.raises(NotOurs, match="it is managed by Helm"):
        await serve(hf_platform, want(TWO, service_name="front", dtype="float16"), timeout=30)
    assert made[0]() == before[0]


async def test_what_took_the_place_of_ours_is_neither_written_nor_pruned(hf_platform: KubernetesPlatform, ns: Namespace) -> None:
    endpoint = await serve(hf_platform, want(service_name="front"), timeout=30)
    ns.cluster.admin.delete(ns.path("services", "front"))
    now = theirs(ns, "services", BESIDE["an alias"][1], labels=HELM)
    before = now()
    with pytest.raises(BadInput, match="it is managed by Helm"):
        await serve(hf_platform, want(service_name="front"), timeout=30)
    await serve(hf_platform, want(TWO), timeout=30)  # which prunes the alias
    assert now() == before
    found = await hf_platform.find(Target("bert"))
    assert found is not None
    await hf_platform.delete(found, timeout=30)
    assert now() == before
    assert endpoint.identity.uid == found.uid


async def test_an_object_of_another_serving_run_of_ours_is_refused(hf_platform: KubernetesPlatform, ns: Namespace) -> None:
    """``bert-data`` is what the run ``bert`` would call its claim ``data``; here a run called ``bert-data`` has a Service of that
    name, and the run ``bert`` wants it as its alias."""
    await serve(hf_platform, want(name="bert-data"), timeout=30)
    before = ns.get("services", "bert-data")
    with pytest.raises(BadInput, match="belongs to Deployment bert-data"):
        await serve(hf_platform, want(TWO, service_name="bert-data"), timeout=30)
    assert ns.get("services", "bert-data") == before


async def test_a_failed_update_its_rollback_and_the_teardown_leave_what_is_not_ours(
    hf_platform: KubernetesPlatform, ns: Namespace, model: Answers
) -> None:
    """Of every kind, with our label, beside objects of ours of the same kinds."""
    bodies = {
        "persistentvolumeclaims": {"spec": CLAIM},
        "secrets": {},
        "services": {"spec": PORTS},
        "configmaps": {"data": {"a": "b"}},
    }
    bystanders = [theirs(ns, kind, {**body, "metadata": {"name": "bert-theirs"}}, labels=OURS) for kind, body in bodies.items()]
    before = [now() for now in bystanders]
    good = {"secrets": ["conn:hub"], "service_name": "front"}
    endpoint = await serve(hf_platform, want(**good), timeout=30)
    model.status = 503
    with pytest.raises(WaitTimeout, match="the last good spec was put back"):
        await serve(hf_platform, want(TWO, dtype="float16"), timeout=3)
    found = await hf_platform.find(Target("bert"))
    assert found is not None
    assert (found.owner, found.spec, found.proven) == (endpoint.identity.owner, want(**good).spec, True)
    assert ns.get("services", "front") is not None, "what the update had pruned is back"
    assert [now() for now in bystanders] == before
    assert await teardown(hf_platform, target_of(endpoint), timeout=30)
    until("ours are collected", lambda: not any(ns.get(k, n) for k, n in (("services", "front"), ("secrets", "bert-llmserve"))))
    assert [now() for now in bystanders] == before


@pytest.mark.parametrize("toy", [IN_CONFIG_MAP], indirect=True)
@pytest.mark.parametrize("labels", [HELM, OURS], ids=["Helm's", "copied with our label"])
async def test_the_config_map_of_the_record_too(
    platform: KubernetesPlatform, ns: Namespace, toy: ToyRuntime, labels: dict[str, str]
) -> None:
    now = theirs(ns, "configmaps", {"metadata": {"name": "toy-llmserve"}, "data": {"a": "b"}}, labels=labels)
    before = now()
    with pytest.raises(BadInput, match="ConfigMap toy-llmserve stands there"):
        await serve(platform, toy_want(), timeout=30)
    with pytest.raises(NotOurs):
        await platform.apply(toy_want(), replacing=None)
    assert now() == before
    assert not ns.all("deployments")


@pytest.mark.parametrize("toy", [IN_CONFIG_MAP], indirect=True)
async def test_a_record_that_was_cut_off_before_its_object_is_taken_up(
    platform: KubernetesPlatform, ns: Namespace, toy: ToyRuntime
) -> None:
    """The worker died between the two writes: the retry goes on from there."""
    await platform.apply(toy_want(), replacing=None)
    record = ns.get("configmaps", "toy-llmserve") or {}
    ns.cluster.admin.merge(ns.path("configmaps", "toy-llmserve"), {"metadata": {"ownerReferences": None}})
    ns.cluster.admin.delete(ns.path("deployments", "toy"), propagationPolicy="Background")
    until("the object is gone", lambda: ns.get("deployments", "toy") is None)
    assert (ns.get("configmaps", "toy-llmserve") or {})["metadata"]["uid"] == record["metadata"]["uid"]

    again = await platform.apply(toy_want(toy_spec("i:2")), replacing=None)
    tied = (ns.get("configmaps", "toy-llmserve") or {})["metadata"]["ownerReferences"]
    assert [o["uid"] for o in tied] == [again.uid]
