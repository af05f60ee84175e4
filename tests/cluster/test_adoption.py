"""Taking over what somebody else deployed: nothing of theirs runs on beside ours, and what fails is given back as it was."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
import yaml
from support.answers import Answers
from support.cluster import Cluster
from support.hf import ONE, TWO, Namespace, want
from support.kserve_controller import KServe
from support.kube import until
from support.kubeai_run import model as live_model
from support.kubeai_run import spec as kubeai_spec

from airflow_provider_llmserve.errors import BadInput, LLMServeError, NotOurs, Rejected, WaitTimeout
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve, target_of, teardown
from airflow_provider_llmserve.specs import ServeSpec

pytestmark = pytest.mark.cluster

SELECTED = {"app.kubernetes.io/name": "huggingfaceserve", "app.kubernetes.io/instance": "bert"}


def adopting(s: ServeSpec, name: str, owner: Owner = ONE) -> Want:
    return Want(spec=s, name=name, owner=owner, adopt=True)


def their_deployment(labels: dict[str, str] = SELECTED) -> dict[str, Any]:
    container = {"name": "main", "image": "old:1", "env": [{"name": "OLD", "value": "1"}]}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "hostname": "theirs"},
    }
    metadata = {"name": "bert", "labels": {"team": "other"}, "annotations": {"note": "theirs"}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def put(cluster: Cluster, path: str, body: dict[str, Any], how: str) -> None:
    """Deploy it as ``kubectl create`` would (one manager, by Update), or as ``kubectl apply --server-side`` (by Apply)."""
    if how == "update":
        cluster.admin.create(path + "?fieldManager=kubectl-create", body)
        return
    url = f"{path}/{body['metadata']['name']}?fieldManager=flux&force=true"
    answer = cluster.admin.request("PATCH", url, body, "application/apply-patch+yaml")
    assert answer.ok, answer.text


def without_noise(live: dict[str, Any] | None) -> dict[str, Any]:
    """An object without what controllers write and versions count."""
    kept = copy.deepcopy(live or {})
    for key in ("resourceVersion", "generation"):
        kept["metadata"].pop(key, None)
    kept.pop("status", None)
    kept["metadata"]["managedFields"] = [
        {k: v for k, v in e.items() if k != "time"}
        for e in kept["metadata"]["managedFields"]
        if not e.get("subresource") and e["manager"] not in ("kube-controller-manager", "kubeai-manager")
    ]
    (kept["metadata"].get("annotations") or {}).pop("deployment.kubernetes.io/revision", None)
    return kept


def owners_of_spec(live: dict[str, Any] | None) -> set[str]:
    entries = (live or {})["metadata"]["managedFields"]
    return {e["manager"] for e in entries if set(e["fieldsV1"].get("f:spec", ())) - {"f:replicas"} and not e.get("subresource")}


@pytest.mark.parametrize("how", ["update", "apply"])
async def test_an_adopted_deployment_runs_what_was_asked_for_and_nothing_else(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(cluster, ns.path("deployments"), their_deployment(), how)
    with pytest.raises(NotOurs, match="adopt=True"):
        await serve(hf_platform, want(), timeout=30)
    endpoint = await serve(hf_platform, adopting(want().spec, "bert"), timeout=30)

    told = next(r.getMessage() for r in caplog.records if "is adopted" in r.getMessage())
    for words in ("spec.template.spec.containers[main].image", "spec.template.spec.hostname", "Its pods are replaced"):
        assert words in told
    live = ns.get("deployments", "bert") or {}
    pod = live["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["containers"]] == ["server"]
    assert "hostname" not in pod
    assert owners_of_spec(live) == {"airflow-llmserve"}
    assert (live["metadata"]["labels"]["team"], live["metadata"]["annotations"]["note"]) == ("other", "theirs")
    assert all(
        [c["name"] for c in p["spec"]["containers"]] == ["server"]
        for p in ns.all("pods")
        if not p["metadata"].get("deletionTimestamp")
    )

    before = without_noise(live)
    await serve(hf_platform, want(), timeout=30)
    assert without_noise(ns.get("deployments", "bert")) == before, "then it is a run as any other"
    assert await teardown(hf_platform, target_of(endpoint), timeout=30)


@pytest.mark.parametrize("how", ["update", "apply"])
async def test_a_deployment_whose_adoption_fails_is_what_it_was(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, model: Answers, how: str
) -> None:
    put(cluster, ns.path("deployments"), their_deployment(), how)
    until("their pod runs", lambda: [p for p in ns.all("pods") if p["status"].get("podIP")])
    before = without_noise(ns.get("deployments", "bert"))
    model.status = 503
    with pytest.raises(WaitTimeout, match="The adopted object was given back as it was before"):
        await serve(hf_platform, adopting(want().spec, "bert"), timeout=3)
    assert without_noise(ns.get("deployments", "bert")) == before
    until("our Service is gone", lambda: ns.get("services", "bert") is None)
    until(
        "theirs runs again",
        lambda: (
            {c["image"] for p in ns.all("pods") if not p["metadata"].get("deletionTimestamp") for c in p["spec"]["containers"]}
            == {"old:1"}
        ),
    )


async def test_an_adoption_that_is_refused_at_the_write_changes_nothing(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, ns.path("deployments"), their_deployment(), "update")
    until("it is settled", lambda: (ns.get("deployments", "bert") or {}).get("status", {}).get("conditions"))
    before = without_noise(ns.get("deployments", "bert"))
    apply = hf_platform.client.apply

    async def refuse(kind: Any, *arguments: Any, dry_run: bool = False, **options: Any) -> Any:
        if not dry_run:
            raise Rejected("admission says no")
        return await apply(kind, *arguments, dry_run=dry_run, **options)

    monkeypatch.setattr(hf_platform.client, "apply", refuse)
    with pytest.raises(Rejected):
        await serve(hf_platform, adopting(want().spec, "bert"), timeout=3)
    assert without_noise(ns.get("deployments", "bert")) == before


async def test_what_cannot_be_adopted_is_refused_before_anything_is_written(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster
) -> None:
    put(cluster, ns.path("deployments"), their_deployment({"app": "bert"}), "update")
    until("it is settled", lambda: (ns.get("deployments", "bert") or {}).get("status", {}).get("conditions"))
    before = without_noise(ns.get("deployments", "bert"))
    with pytest.raises(BadInput, match=r"(?s)spec.selector.*field is immutable.*deploy under another name"):
        await serve(hf_platform, adopting(want().spec, "bert"), timeout=3)
    assert without_noise(ns.get("deployments", "bert")) == before
    assert ns.get("services", "bert") is None


async def test_an_outage_is_said_beforehand(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    put(cluster, ns.path("deployments"), their_deployment(), "update")
    await serve(hf_platform, adopting(want(strategy="recreate").spec, "bert"), timeout=30)
    told = next(r.getMessage() for r in caplog.records if "is adopted" in r.getMessage())
    assert "that is an outage until the new one is ready" in told


@pytest.mark.parametrize("how", ["update", "apply"])
async def test_an_adopted_model_has_nothing_of_its_former_managers(
    kubeai_platform: KubernetesPlatform, cluster: Cluster, namespace: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = {
        "url": "hf://acme/base-7b",
        "engine": "VLLM",
        "features": ["TextGeneration"],
        "resourceProfile": "cpu:1",
        "minReplicas": 1,
    }
    theirs = {**body, "env": {"OLD": "1"}, "image": "vllm/vllm-openai:v9"}
    made = {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": "alpha"}, "spec": theirs}
    put(cluster, f"/apis/kubeai.org/v1/namespaces/{namespace}/models", made, how)

    def serves() -> bool:
        return bool(((live_model(cluster, namespace) or {}).get("status") or {}).get("replicas", {}).get("ready"))

    await asyncio.to_thread(until, "it serves", serves)
    before = without_noise(live_model(cluster, namespace))

    with pytest.raises(LLMServeError, match="given back as it was"):
        await serve(kubeai_platform, adopting(kubeai_spec(image="crashing:1"), "alpha"), timeout=5)
    assert without_noise(live_model(cluster, namespace)) == before

    await serve(kubeai_platform, adopting(kubeai_spec(env={"NEW": "2"}), "alpha"), timeout=30)
    live = live_model(cluster, namespace) or {}
    assert live["spec"]["env"].keys() == {"NEW", "LLMSERVE_MARK"}
    assert "image" not in live["spec"]
    assert owners_of_spec(live) <= {"airflow-llmserve", "kubeai-manager"}
    told = next(r.getMessage() for r in reversed(caplog.records) if "is adopted" in r.getMessage())
    assert "spec.env.OLD, spec.image" in told
    await serve(kubeai_platform, Want(spec=kubeai_spec(env={"NEW": "2"}), name="alpha", owner=TWO), timeout=30)


async def test_an_inferenceservice_is_adopted_and_given_back(
    hf_platform: KubernetesPlatform, ns: Namespace, cluster: Cluster, model: Answers
) -> None:
    with KServe(cluster, ns.name):
        theirs = {
            "model": {
                "modelFormat": {"name": "huggingface"},
                "storageUri": "s3://theirs/m",
                "env": [{"name": "OLD", "value": "1"}],
            }
        }
        body = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "bert", "labels": {"team": "x"}},
            "spec": {"predictor": theirs},
        }
        put(cluster, ns.path("inferenceservices"), body, "update")
        before = without_noise(ns.get("inferenceservices", "bert"))
        model.status = 503
        with pytest.raises(LLMServeError, match="given back as it was"):
            await serve(hf_platform, adopting(want(runtime="inferenceservice").spec, "bert"), timeout=4)
        now = without_noise(ns.get("inferenceservices", "bert"))
        assert now["spec"] == before["spec"]
        assert now["metadata"]["labels"] == before["metadata"]["labels"]
        until("the record is gone", lambda: ns.get("configmaps", "bert-llmserve") is None)

        model.status = 200
        await serve(hf_platform, adopting(want(runtime="inferenceservice").spec, "bert"), timeout=30)
        live = ns.get("inferenceservices", "bert") or {}
        assert "OLD" not in yaml.safe_dump(live["spec"])


async def test_another_dags_run_is_adopted_as_an_update_and_put_back_where_that_fails(
    hf_platform: KubernetesPlatform, ns: Namespace, model: Answers
) -> None:
    theirs = Owner(instance="i", dag_id="other", run_id="r", task_id="t")
    await serve(hf_platform, want(theirs), timeout=30)
    with pytest.raises(NotOurs, match="belongs to other / r / t"):
        await serve(hf_platform, want(dtype="float16"), timeout=30)
    model.status = 503
    with pytest.raises(WaitTimeout, match="the last good spec was put back"):
        await serve(hf_platform, adopting(want(dtype="float16").spec, "bert"), timeout=3)
    run = await hf_platform.find(Target("bert"))
    assert run is not None
    assert (run.owner, run.spec) == (theirs, want().spec)
    model.status = 200
    await serve(hf_platform, adopting(want(dtype="float16").spec, "bert"), timeout=30)
    run = await hf_platform.find(Target("bert"))
    assert run is not None
    assert run.owner == ONE
