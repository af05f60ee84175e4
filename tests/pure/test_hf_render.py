"""HuggingFace-serve spec to manifests: golden files, and what holds for every spec."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from support.spec_strategies import huggingface_specs

from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.huggingface import deployment, inferenceservice
from airflow_provider_llmserve.runtimes.huggingface.kserve import AUTOSCALER, MODE, STOP
from airflow_provider_llmserve.runtimes.mark import ANNOTATION
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

GOLDEN = Path(__file__).parent / "golden" / "huggingface"
A100 = {
    "node_selector": {"gpu": "a100", "zone": "b"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "priority_class": "serving",
    "runtime_class": "nvidia",
    "resources": {"gpu": "1", "mem": "32Gi"},
}
CONNECTION = Settings(platform="kubernetes", namespace="serving", profiles={"a100": A100})

EVERYTHING = {
    "path": "s3://models/classifier/v3/",
    "model_name": "support",
    "image": "registry.example.com/kserve/huggingfaceserver:v0.18.1-gpu",
    "huggingface_task": "sequence_classification",
    "dtype": "FLOAT16",
    "max_length": 512,
    "disable_lower_case": True,
    "return_probabilities": True,
    "args": ["--max_threads=8"],
    "replicas": 2,
    "volumes": [
        {
            "volume_type": "persistent_volume_claim",
            "name": "made",
            "mount_path": "/made",
            "spec": {"size": "5Gi", "storageClass": "fast"},
        },
        {"volume_type": "persistent_volume_claim", "name": "mine", "mount_path": "/mine", "spec": {"claimName": "data"}},
        {"volume_type": "shared_volume", "name": "shared", "mount_path": "/shared", "spec": {"subPath": "a"}},
        {"volume_type": "empty_dir", "name": "scratch", "mount_path": "/scratch", "spec": {"sizeLimit": "1Gi"}},
        {"volume_type": "ephemeral", "name": "eph", "mount_path": "/eph"},
        {"volume_type": "image", "name": "files", "mount_path": "/files", "spec": {"image": "registry.example.com/files:1"}},
    ],
    "resources": {"cpu": "4", "mem": "16Gi", "gpu": "2", "disk": "40Gi"},
    "envs": [{"name": "OMP_NUM_THREADS", "value": "4"}],
    "secrets": ["hub"],
    "node_selector": {"zone": "a", "disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "profile": "a100",
    "startup_seconds": 3600,
    "strategy": "recreate",
    "service_account": "models",
    "registry_secret": "registry",
    "storage_secret": "s3-keys",
}

SPECS: dict[str, dict[str, Any]] = {
    "deployment-least": {"path": "hf://acme/bert", "model_name": "Support"},
    "deployment-everything": {**EVERYTHING, "service_type": "NodePort", "service_name": "front"},
    "deployment-claim": {
        "path": "pvc://weights/bert/v1",
        "resources": {"gpu": "1"},
        "service_type": "ExternalName",
        "service_name": "front",
    },
    "deployment-gcs": {"path": "gs://bucket/m", "storage_secret": "gcp", "huggingface_task": "text_embedding"},
    "inferenceservice-least": {"path": "hf://acme/bert", "model_name": "Support", "runtime": "inferenceservice"},
    "inferenceservice-everything": {**EVERYTHING, "runtime": "inferenceservice"},
    "inferenceservice-autoscaled": {
        "path": "hf://acme/bert:v2",
        "runtime": "inferenceservice",
        "min_replicas": 1,
        "max_replicas": 4,
        "scale_metric": "cpu",
        "scale_target": 60,
        "serving_runtime": "mine",
    },
    "inferenceservice-knative": {
        "path": "s3://models/bert/",
        "runtime": "inferenceservice",
        "deployment_mode": "Knative",
        "min_replicas": 0,
        "max_replicas": 2,
        "canary_traffic_percent": 10,
    },
}


def rendered(fields: HuggingFaceServe | dict[str, Any], *, stopped: bool = False, connection: Settings = CONNECTION) -> list[Any]:
    spec = HuggingFaceServe.parse(fields)
    runtime = runtime_for(spec)
    return runtime.render(spec, name=spec.object_name, namespace="serving", stopped=stopped, settings=connection)


def pod(fields: dict[str, Any], connection: Settings = CONNECTION) -> dict[str, Any]:
    return rendered(fields, connection=connection)[0]["spec"]["template"]["spec"]


def server(fields: dict[str, Any]) -> dict[str, Any]:
    return pod(fields)["containers"][0]


def serving_container(fields: dict[str, Any]) -> dict[str, Any]:
    """What is asked for of the container that serves, by either runtime."""
    made = rendered(fields)[0]["spec"]
    return made["predictor"]["model"] if "predictor" in made else made["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_golden_manifests(name: str, stopped: bool) -> None:
    """LLMSERVE_REWRITE_GOLDEN=1 rewrites the files; the diff is reviewed."""
    text = yaml.safe_dump_all(rendered(SPECS[name], stopped=stopped), sort_keys=True)
    file = GOLDEN / f"{name}{'-stopped' if stopped else ''}.yaml"
    if os.environ.get("LLMSERVE_REWRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@hypothesis_settings(max_examples=60, deadline=None)
@given(huggingface_specs().map(lambda s: s.model_copy(update={"profile": None})))
def test_rendering_is_deterministic_and_is_no_drift_from_itself(spec: HuggingFaceServe) -> None:
    first = rendered(spec)
    assert first == rendered(HuggingFaceServe.parse(spec.to_json()))
    names = [(m["kind"], m["metadata"]["name"]) for m in first]
    assert len(names) == len(set(names))


@hypothesis_settings(max_examples=60, deadline=None)
@given(huggingface_specs().map(lambda s: s.model_copy(update={"profile": None})))
def test_stopping_and_scaling_leave_the_pods_as_they_are(spec: HuggingFaceServe) -> None:
    def template(**change: Any) -> Any:
        primary = rendered(spec.model_copy(update=change))[0]
        if spec.runtime == "deployment":
            return primary["spec"]["template"]
        predictor = primary["spec"]["predictor"]
        return {k: v for k, v in predictor.items() if k not in ("minReplicas", "maxReplicas", "deploymentStrategy")}

    assert template(replicas=spec.replicas + 1) == template()
    stopped = rendered(spec, stopped=True)[0]
    if spec.runtime == "deployment":
        assert stopped["spec"]["replicas"] == 0
        assert stopped["spec"]["template"] == template()
    else:
        assert stopped["spec"] == rendered(spec)[0]["spec"]
        assert stopped["metadata"]["annotations"].pop(STOP) == "true"
        assert stopped["metadata"] == rendered(spec)[0]["metadata"]


def test_probes_ask_the_model_itself_and_wait_for_a_busy_server() -> None:
    c = server({"path": "hf://a/b", "model_name": "Bert", "startup_seconds": 95})
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert c[probe]["httpGet"]["path"] == "/v2/models/Bert/ready"
    for probe in ("readinessProbe", "livenessProbe"):
        assert c[probe]["timeoutSeconds"] >= 5, "a batch of 2 s blocks the server's event loop for 1.75 s"
    assert rendered({"path": "hf://a/b", "startup_seconds": 95})[0]["spec"]["progressDeadlineSeconds"] > 95


@pytest.mark.parametrize("runtime", ["deployment", "inferenceservice"])
@pytest.mark.parametrize("seconds", [1, 95, 1800, 2**31 - 1])
def test_a_start_is_seen_soon_and_has_all_its_time(runtime: str, seconds: int) -> None:
    """cases: a real node: up to 9 s were lost at every start, with a period of 10 s."""
    probe = serving_container({"path": "hf://a/b", "startup_seconds": seconds, "runtime": runtime})["startupProbe"]
    assert probe["periodSeconds"] <= 2
    assert seconds <= probe["periodSeconds"] * probe["failureThreshold"] < seconds + 2
    assert probe["timeoutSeconds"] <= probe["periodSeconds"], "a try that hangs must not stretch the time"


@pytest.mark.parametrize("runtime", ["deployment", "inferenceservice"])
def test_a_pod_that_goes_serves_on_and_one_that_starts_hears_the_signal(runtime: str) -> None:
    """cases: a real node: 1 of 1,100 requests was refused in each update of an InferenceService; a pod that was not ready
    took 60 s to end."""
    fields = {"path": "hf://a/b", "runtime": runtime}
    pause = int(serving_container(fields)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause >= 10
    made = rendered(fields)[0]["spec"]
    around = made["predictor"] if runtime == "inferenceservice" else made["template"]["spec"]
    assert around["terminationGracePeriodSeconds"] >= pause + 30, "the grace includes the pause"
    assert around["shareProcessNamespace"] is True


def test_knative_gets_no_field_that_it_refuses() -> None:
    predictor = rendered({"path": "hf://a/b", "runtime": "inferenceservice", "deployment_mode": "Knative"})[0]["spec"][
        "predictor"
    ]
    assert not {"shareProcessNamespace", "terminationGracePeriodSeconds"} & set(predictor)
    assert not {"lifecycle", "startupProbe"} & set(predictor["model"])


def test_shared_memory_for_several_gpus_counts_in_the_memory_limit() -> None:
    one, two = (pod({"path": "hf://a/b", "resources": {"mem": "16Gi", "gpu": n}}) for n in (1, 2))
    assert one["containers"][0]["resources"]["limits"]["memory"] == "16Gi"
    assert (
        two["containers"][0]["resources"]["limits"]["memory"]
        == two["containers"][0]["resources"]["requests"]["memory"]
        == "18432Mi"
    )
    assert [v for v in two["volumes"] if v["name"] == "shm"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2048Mi"}}
    ]
    assert "shm" not in str(one)


def test_a_user_volume_takes_the_place_of_ours() -> None:
    cache = {"volume_type": "ephemeral", "name": "cache", "mount_path": "/tmp/huggingface", "spec": {"size": "1Gi"}}
    assert [v["name"] for v in pod({"path": "hf://a/b", "volumes": [cache]})["volumes"]] == ["cache"]
    fetched = pod({"path": "s3://b/m", "volumes": [{**cache, "mount_path": "/mnt/models"}]})
    assert fetched["initContainers"][0]["volumeMounts"] == [{"name": "cache", "mountPath": "/mnt/models"}]


def test_credentials_of_the_store_reach_the_fetching_container_alone() -> None:
    fetched = pod({"path": "s3://b/m", "storage_secret": "keys", "secrets": ["hub"]})
    assert fetched["initContainers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}, {"secretRef": {"name": "hub"}}]
    assert fetched["containers"][0]["envFrom"] == [{"secretRef": {"name": "hub"}}]


def test_profile_wins_about_nodes_and_loses_about_the_model() -> None:
    spec = {
        "path": "hf://a/b",
        "profile": "a100",
        "node_selector": {"gpu": "l4", "disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "priority_class": "mine",
        "resources": {"mem": "64Gi", "cpu": "8"},
    }
    made = pod(spec)
    assert made["nodeSelector"] == {"gpu": "a100", "zone": "b", "disk": "ssd"}
    assert [t["key"] for t in made["tolerations"]] == ["spot", "nvidia.com/gpu"]
    assert (made["priorityClassName"], made["runtimeClassName"]) == ("serving", "nvidia")
    assert made["containers"][0]["resources"]["requests"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    assert made["containers"][0]["image"].endswith("-gpu")


@pytest.mark.parametrize(
    ("fields", "strategy"),
    [
        ({}, "surge"),
        ({"replicas": 3}, "surge"),
        ({"resources": {"gpu": "1"}}, "surge"),
        ({"resources": {"gpu": "1"}, "replicas": 2}, "in_place"),
        ({"resources": {"gpu": "1"}, "replicas": 2, "strategy": "surge"}, "surge"),
        ({"strategy": "recreate"}, "recreate"),
    ],
)
def test_strategy(fields: dict[str, Any], strategy: str) -> None:
    made = rendered({"path": "hf://a/b", **fields})[0]["spec"]["strategy"]
    rolling = made.get("rollingUpdate")
    assert {"surge": {"maxSurge": 1, "maxUnavailable": 0}, "in_place": {"maxSurge": 0, "maxUnavailable": 1}, "recreate": None}[
        strategy
    ] == rolling
    spec = HuggingFaceServe.parse({"path": "hf://a/b", **fields})
    told = [n for n in deployment.notes(spec, name="x", settings=CONNECTION) if n.startswith("strategy")]
    assert bool(told) == ("strategy" not in fields and "gpu" in fields.get("resources", {}))
    assert all(strategy in n for n in told)


def test_no_trace_of_an_owner_and_no_shared_mutable_part() -> None:
    manifests = rendered(SPECS["deployment-everything"])
    manifests[0]["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = 0
    manifests[0]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] = "/"
    fresh = rendered(SPECS["deployment-everything"])[0]["spec"]["template"]
    assert fresh["spec"]["securityContext"]["runAsUser"] == 1000
    assert fresh["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] != "/"
    assert list(fresh["metadata"]["annotations"]) == [ANNOTATION]


@pytest.mark.parametrize(
    ("version", "fields", "mode", "autoscaler"),
    [
        ("0.20", {}, "Standard", "none"),
        ("0.16", {}, "Standard", "none"),
        ("0.15", {}, "RawDeployment", "none"),
        ("0.14", {}, "RawDeployment", "hpa"),
        ("0.20", {"min_replicas": 1, "max_replicas": 3}, "Standard", "hpa"),
        ("0.20", {"deployment_mode": "Knative"}, "Knative", None),
        ("0.15", {"deployment_mode": "Knative"}, "Serverless", None),
    ],
)
def test_mode_and_autoscaler_in_the_words_of_the_cluster(
    version: str, fields: dict[str, Any], mode: str, autoscaler: str | None
) -> None:
    connection = CONNECTION.model_copy(update={"kserve_version": version})
    made = rendered({"path": "hf://a/b", "runtime": "inferenceservice", **fields}, connection=connection)[0]
    assert made["metadata"]["annotations"][MODE] == mode
    assert made["metadata"]["annotations"].get(AUTOSCALER) == autoscaler


@pytest.mark.parametrize(("version", "low", "autoscaler"), [("0.16", 2, "hpa"), ("0.15", 0, "none")])
def test_a_kserve_that_does_not_know_stop_is_stopped_by_its_replicas(version: str, low: int, autoscaler: str) -> None:
    connection = CONNECTION.model_copy(update={"kserve_version": version})
    fields = {"path": "hf://a/b", "runtime": "inferenceservice", "min_replicas": 2, "max_replicas": 4}
    made = rendered(fields, stopped=True, connection=connection)[0]
    assert made["spec"]["predictor"]["minReplicas"] == low
    assert made["metadata"]["annotations"][AUTOSCALER] == autoscaler


def test_bounds() -> None:
    def bounds(**fields: Any) -> tuple[int, int]:
        return inferenceservice.bounds(HuggingFaceServe.parse({"path": "hf://a/b", "runtime": "inferenceservice", **fields}))

    assert bounds() == (1, 1)
    assert bounds(replicas=3) == (3, 3)
    assert bounds(max_replicas=4) == (1, 4)
    assert bounds(min_replicas=2) == (2, 2)
    assert bounds(min_replicas=0, deployment_mode="Knative") == (0, 1)
