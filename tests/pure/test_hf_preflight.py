"""What a HuggingFace-serve deployment is refused for before any write, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.huggingface.kserve import DISABLE_AUTO_UPDATE
from airflow_provider_llmserve.runtimes.kinds import (
    CRD,
    INFERENCE_SERVICE,
    PRIORITY_CLASS,
    PVC,
    RUNTIME_CLASS,
    SECRET,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
)
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

CONNECTION = Settings(
    platform="kubernetes",
    namespace="serving",
    profiles={
        "a100": {"node_selector": {"gpu": "a100"}, "priority_class": "gpu"},
        "bad": {"nodes": 1, "resources": {"memory": "1"}},
    },
)
BASE = {"path": "hf://acme/bert", "model_name": "bert"}
EPHEMERAL = {"volume_type": "ephemeral", "name": "scratch", "mount_path": "/x"}
KSERVE = {**BASE, "runtime": "inferenceservice"}


def findings(fields: dict[str, Any], facts: dict[Lookup, Any] | None = None, name: str = "bert", **connection: Any) -> list[str]:
    spec = HuggingFaceServe.parse(fields)
    settings = CONNECTION.model_copy(update=connection)
    return runtime_for(spec).findings(spec, name=name, settings=settings, facts=Facts(facts or {}))


@pytest.mark.parametrize(
    ("fields", "facts", "says"),
    [
        ({"args": ["--gpu-memory-utilization=0.8"], "backend": "HUGGINGFACE"}, {}, "vLLM"),
        ({"args": ["--enable-lora"], "backend": "VLLM"}, {}, "KubeAI-text"),
        ({"huggingface_task": "text_embedding", "image": "x/huggingfaceserver:v0.13.1"}, {}, "no server"),
        ({"service_name": "bert"}, {}, "service_name 'bert'"),
        ({"service_type": "ExternalName"}, {}, "service_name"),
        ({"profile": "h100"}, {}, "'h100': does not exist; the connection has: a100, bad"),
        ({"path": "ftp://x/m"}, {}, "ftp://"),
        ({"path": "/data/m"}, {}, "/data/m"),
        ({"volumes": [{"volume_type": "empty_dir", "name": "model", "mount_path": "/x"}]}, {}, "volume 'model'"),
        ({"secrets": ["hub"]}, {Lookup(SECRET, "hub"): None}, "Secret 'hub'"),
        ({"storage_secret": "keys"}, {Lookup(SECRET, "keys"): None}, "Secret 'keys'"),
        ({"registry_secret": "reg"}, {Lookup(SECRET, "reg"): None}, "Secret 'reg'"),
        ({"service_account": "models"}, {Lookup(SERVICE_ACCOUNT, "models"): None}, "ServiceAccount 'models'"),
        ({"path": "pvc://weights/m"}, {Lookup(PVC, "weights"): None}, "PersistentVolumeClaim 'weights'"),
        ({"priority_class": "high"}, {Lookup(PRIORITY_CLASS, "high"): None}, "PriorityClass 'high' does not exist"),
        ({"profile": "a100"}, {Lookup(PRIORITY_CLASS, "gpu"): None}, "kubectl get priorityclass"),
        ({"runtime_class": "nvidia"}, {Lookup(RUNTIME_CLASS, "nvidia"): None}, "RuntimeClass 'nvidia' does not exist"),
        (
            {"volumes": [{**EPHEMERAL, "spec": {"size": "1Gi", "storageClass": "fast"}}]},
            {Lookup(STORAGE_CLASS, "fast"): None},
            "StorageClass 'fast' does not exist",
        ),
        (
            {"volumes": [{"volume_type": "shared_volume", "name": "team", "mount_path": "/x"}]},
            {Lookup(PVC, "team"): None},
            "PersistentVolumeClaim 'team'",
        ),
    ],
)
def test_refused(fields: dict[str, Any], facts: dict[Lookup, Any], says: str) -> None:
    found = findings({**BASE, **fields}, facts)
    assert len(found) == 1, found
    assert says in found[0]


@pytest.mark.parametrize(
    ("fields", "facts", "says"),
    [
        ({}, {Lookup(CRD, "inferenceservices.serving.kserve.io"): None}, "not installed"),
        ({"deployment_mode": "Knative"}, {Lookup(CRD, "services.serving.knative.dev"): None}, "Knative is not installed"),
        ({"min_replicas": 0}, {}, "min_replicas"),
        (
            {},
            {Lookup(INFERENCE_SERVICE, "bert"): {"metadata": {"annotations": {DISABLE_AUTO_UPDATE: "true"}}}},
            "disable-auto-update",
        ),
        (
            {"deployment_mode": "Knative"},
            {Lookup(INFERENCE_SERVICE, "bert"): {"status": {"deploymentMode": "Standard"}}},
            "mode Standard",
        ),
    ],
)
def test_refused_by_kserve(fields: dict[str, Any], facts: dict[Lookup, Any], says: str) -> None:
    found = findings({**KSERVE, **fields}, facts)
    assert len(found) == 1, found
    assert says in found[0]


@pytest.mark.parametrize("fields", [BASE, KSERVE])
def test_nothing_is_found_where_nothing_is_wrong_or_nothing_could_be_read(fields: dict[str, Any]) -> None:
    assert findings(fields) == []
    present = {
        Lookup(SECRET, "hub"): {},
        Lookup(CRD, "inferenceservices.serving.kserve.io"): {},
        Lookup(INFERENCE_SERVICE, "bert"): {"status": {"deploymentMode": "RawDeployment"}},
    }
    alias = {"service_name": "front"} if fields is BASE else {}
    assert findings({**fields, "secrets": ["hub"], **alias}, present) == []


def test_every_lookup_is_one_that_a_finding_reads() -> None:
    spec = HuggingFaceServe.parse({**BASE, "service_name": "front", "secrets": ["hub"], "storage_secret": "keys"})
    runtime = runtime_for(spec)
    asked = runtime.lookups(spec, name="bert", settings=CONNECTION)
    assert {(a.kind.kind, a.name) for a in asked} == {("Secret", "hub"), ("Secret", "keys")}


def test_all_findings_at_once() -> None:
    fields = {
        **BASE,
        "path": "ftp://x/m",
        "profile": "h100",
        "image": "evil.example.com/hf:v0.20.0",
        "service_name": "bert",
        "secrets": ["hub"],
        "args": ["--workers=2"],
    }
    found = findings(fields, {Lookup(SECRET, "hub"): None}, allowed_images=("registry.example.com/",))
    assert len(found) == 6, found


def test_images_outside_the_allowed_mirrors() -> None:
    mirrors = {"allowed_images": ("registry.example.com/",)}
    assert "not among" in findings(BASE, **mirrors)[0], "the default image is one too"
    assert "not among" in findings({**BASE, "image": "kserve/huggingfaceserver:v0.20.0"}, **mirrors)[0]
    assert findings({**BASE, "image": "registry.example.com/hf:v0.20.0"}, **mirrors) == []
    assert findings(KSERVE, **mirrors) == [], "the cluster's runtime brings its own"


def test_a_profile_with_unknown_fields() -> None:
    found = findings({**BASE, "profile": "bad"})
    assert len(found) == 2
    assert all(f.startswith("profile 'bad': ") for f in found)
    assert "nodes: unknown field" in " ".join(found)
    assert "resources.memory: unknown field" in " ".join(found)


def test_names() -> None:
    assert findings(BASE, name="7b-model")[0].startswith("name '7b-model'")
    assert findings(BASE, name="a" * 64)[0].startswith("name")
    assert findings(BASE, name="a" * 63) == []
    limit = 63 - len("-predictor-") - len("serving")
    assert findings(KSERVE, name="a" * limit) == []
    assert f"shorten it to {limit}" in findings(KSERVE, name="a" * (limit + 1))[0]


def test_replicas_zero_and_adapters_are_refused_with_the_remedy() -> None:
    for fields, remedy in (
        ({"replicas": 0}, "StopOperator"),
        ({"adapters": []}, "KubeAI-text"),
        ({"path": "store://p/model/huggingface/m"}, "s3://"),
    ):
        with pytest.raises(Exception, match=remedy):
            HuggingFaceServe.parse({**BASE, **fields})


def notes(fields: dict[str, Any]) -> list[str]:
    spec = HuggingFaceServe.parse(fields)
    return runtime_for(spec).notes(spec, name="bert", settings=CONNECTION)


def test_notes() -> None:
    assert notes(BASE) == []
    assert "HF_TOKEN" in notes({**BASE, "envs": {"HF_TOKEN": "x"}})[0]
    mirrored = {
        **KSERVE,
        "image": "registry.example.com/hf:v0.20.0",
        "resources": {"gpu": "1", "cpu": "1"},
        "startup_seconds": 600,
    }
    assert "registry.example.com/hf:v0.20.0-gpu" in notes(mirrored)[0]
    assert notes({**mirrored, "image": "registry.example.com/hf:v0.20.0-gpu"}) == []
    assert not any("-gpu" in n for n in notes({**mirrored, "image": "registry.example.com/hf@sha256:00"}))
    assert "600 s" in notes({**KSERVE, "startup_seconds": 601, "resources": {"cpu": "1"}})[0]
    assert "1 CPU" in notes({**KSERVE, "startup_seconds": 600})[0]
    assert notes({**KSERVE, "startup_seconds": 600, "resources": {"cpu": "100m"}}) == []


@pytest.mark.parametrize("base", [BASE, KSERVE])
def test_a_class_that_may_not_be_read_is_no_finding_and_one_that_is_there_neither(base: dict[str, Any]) -> None:
    volumes = [{**EPHEMERAL, "spec": {"storageClass": "fast"}}]
    spec = HuggingFaceServe.parse({**base, "profile": "a100", "runtime_class": "nvidia", "volumes": volumes})
    runtime = runtime_for(spec)
    asked = set(runtime.lookups(spec, name="bert", settings=CONNECTION))
    classes = {Lookup(PRIORITY_CLASS, "gpu"), Lookup(RUNTIME_CLASS, "nvidia"), Lookup(STORAGE_CLASS, "fast")}
    assert classes <= asked
    for facts in ({}, {key: {"metadata": {}} for key in classes}):
        found = runtime.findings(spec, name="bert", settings=CONNECTION, facts=Facts(facts))
        assert not any("Class" in one for one in found), found
