"""The parts of KubeAI's verdict: adapter hashes, configuration, drift, and what a pod runs."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.spec_strategies import json_values

from airflow_provider_llmserve.runtimes.kubeai import adapters, config
from airflow_provider_llmserve.runtimes.kubeai.drift import drift
from airflow_provider_llmserve.runtimes.kubeai.template import differences


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("hf://test-repo/test-adapter", "579485db59"),
        ("s3://test-bucket/test-path", "54dcb9d8d5"),
        ("hf://jashing/tinyllama-colorist-lora", "985b56ffb"),
        ("hf://acme/lora-law-v1", "55d66ff66f"),  # seen on a pod of the real manager
        ("hf://acme/lora-law-v2", "5575fbb7c6"),
    ],
)
def test_the_hash_of_an_adapters_url(url: str, label: str) -> None:
    assert adapters.url_hash(url) == label


def test_requests_of_a_profile_are_multiplied() -> None:
    text = 'resourceProfiles: {gpu: {requests: {cpu: 500m, "nvidia.com/gpu": 1}}}\nmodelRollouts: {surge: 1}'
    system = config.of({"data": {"system.yaml": text}})
    assert system is not None
    assert system.surge == 1
    assert system.proxy_mode == "internal"
    assert system.amounts("gpu:4", "requests") == {"cpu": Decimal(2), "nvidia.com/gpu": Decimal(4)}
    assert system.amounts("none:1", "requests") == {}


@given(st.text(max_size=40) | st.sampled_from(["{", "a: [1", "resourceProfiles: 3", "- x"]))
def test_no_configuration_breaks_the_reading(text: str) -> None:
    config.of({"data": {"system.yaml": text}})


@given(json_values)
def test_no_config_map_breaks_the_reading(value: Any) -> None:
    config.of({"data": value})
    config.of({"data": {"system.yaml": value}})


ASKED = {"url": "hf://a/b", "minReplicas": 0, "env": {"A": "1"}, "loadBalancing": {"strategy": "LeastLoad"}}


@pytest.mark.parametrize(
    ("live", "changed"),
    [
        ({}, []),
        ({"replicas": 3, "owner": "", "targetRequests": 100}, []),
        ({"loadBalancing": {"strategy": "LeastLoad", "prefixHash": {"replication": 256}}}, []),
        ({"url": "hf://a/c"}, ["url"]),
        ({"image": "x"}, ["image"]),
        ({"image": ""}, []),
        ({"env": {"A": "1", "B": "2"}}, ["env"]),
        ({"autoscalingDisabled": True}, ["autoscalingDisabled"]),
    ],
)
def test_drift(live: dict[str, Any], changed: list[str]) -> None:
    assert drift(ASKED, {**ASKED, **live}) == changed


CONTAINER: dict[str, Any] = {
    "name": "server",
    "image": "vllm:1",
    "args": ["--model=a/b", "--served-model-name=m", "--max-model-len=4096", "--enable-lora"],
    "env": [
        {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"},
        {"name": "A", "value": "1"},
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token"}}},
    ],
    "envFrom": [{"secretRef": {"name": "hub"}}],
    "resources": {"requests": {"cpu": "1"}},
    "volumeMounts": [{"name": "model-files", "mountPath": "/f"}],
}
SPEC: dict[str, Any] = {
    "url": "hf://a/b",
    "engine": "VLLM",
    "image": "vllm:1",
    "args": ["--max-model-len=4096"],
    "env": {"A": "1"},
    "envFrom": [{"secretRef": {"name": "hub"}}],
    "files": [{"path": "/f", "content": "x"}],
    "resourceProfile": "cpu:1",
    "priorityClassName": "high",
    "adapters": [{"name": "law", "url": "hf://a/law"}],
}
SYSTEM = config.of({"data": {"system.yaml": "resourceProfiles: {cpu: {requests: {cpu: 1}}}"}})


def compare(spec: dict[str, Any], before: dict[str, Any] | None = None, container: dict[str, Any] | None = None) -> list[str]:
    pod = {"spec": {"containers": [{**CONTAINER, **(container or {})}], "priorityClassName": "high"}}
    return differences(pod, {"metadata": {"name": "m", "uid": "u"}, "spec": spec}, before or {}, SYSTEM)


def test_a_pod_of_the_spec_shows_no_difference() -> None:
    assert compare(SPEC) == []


@pytest.mark.parametrize(
    "change",
    [
        {"image": "vllm:2"},
        {"args": ["--max-model-len=8192"]},
        {"args": ["--max-model-len=4096", "--seed=1"]},
        {"env": {"A": "2"}},
        {"env": {"A": "1", "B": "2"}},
        {"envFrom": [{"secretRef": {"name": "other"}}]},
        {"files": []},
        {"files": [{"path": "/g", "content": "x"}]},
        {"resourceProfile": "cpu:2"},
        {"priorityClassName": "low"},
        {"adapters": []},
        {"url": "hf://a/c"},
        {"url": "s3://a/b"},
        {"url": "pvc://claim"},
        {"cacheProfile": "shared"},
    ],
)
def test_every_change_of_what_runs_shows(change: dict[str, Any]) -> None:
    assert compare({**SPEC, **change}, before=SPEC)


@pytest.mark.parametrize("field", ["image", "args", "env", "envFrom", "files", "adapters"])
def test_what_was_taken_out_shows(field: str) -> None:
    asked = {key: value for key, value in SPEC.items() if key != field}
    assert compare(asked, before=SPEC)


def test_a_model_without_an_image_gets_the_configured_one() -> None:
    text = """
    resourceProfiles: {cpu: {imageName: cpu, requests: {cpu: 1}}, gpu: {requests: {cpu: 1}}}
    modelServers: {VLLM: {images: {default: "vllm:gpu", cpu: "vllm:cpu"}}}
    """
    system = config.of({"data": {"system.yaml": text}})
    assert system is not None
    assert (system.image("VLLM", "cpu:1"), system.image("VLLM", "gpu:1"), system.image("OLlama", "cpu:1")) == (
        "vllm:cpu",
        "vllm:gpu",
        "",
    )
    asked = {key: value for key, value in SPEC.items() if key != "image"}
    assert compare(asked, before=SPEC), "the image that was named before is another version, whatever the configuration"
    pod = {"spec": {"containers": [CONTAINER], "priorityClassName": "high"}}
    assert differences(pod, {"metadata": {"name": "m"}, "spec": asked}, {}, system) == ["image vllm:1 instead of vllm:cpu"]


PLAIN = {"requests": {"cpu": 1}}
SSD, HDD = {"nodeSelector": {"disk": "ssd"}}, {"nodeSelector": {"disk": "hdd"}}
SPOT = {"tolerations": [{"key": "spot", "operator": "Exists"}]}
ZONE: dict[str, Any] = {
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
}


@pytest.mark.parametrize(
    ("earlier", "asked"),
    [
        (PLAIN, PLAIN | SSD),
        (PLAIN | SSD, PLAIN),
        (PLAIN | SSD, PLAIN | HDD),
        (PLAIN, PLAIN | SPOT),
        (PLAIN | SPOT, PLAIN),
        (PLAIN, PLAIN | ZONE),
        (PLAIN | ZONE, PLAIN),
        (PLAIN, PLAIN | {"runtimeClassName": "nvidia"}),
        (PLAIN | {"schedulerName": "mine"}, PLAIN),
        (PLAIN, PLAIN | {"limits": {"memory": "2Gi"}}),
        (PLAIN | {"limits": {"memory": "2Gi"}}, PLAIN),
        ({"requests": {"cpu": 1, "nvidia.com/gpu": 1}}, PLAIN),
    ],
)
def test_two_profiles_of_like_requests_are_told_apart(earlier: dict[str, Any], asked: dict[str, Any]) -> None:
    system = config.of({"data": {"system.yaml": json.dumps({"resourceProfiles": {"earlier": earlier, "asked": asked}})}})

    def pod(profile: dict[str, Any]) -> dict[str, Any]:
        requests = {**profile.get("limits", {}), **profile["requests"]}  # as the API server fills them in
        resources = {"requests": requests, "limits": profile.get("limits", {})}
        placed = {key: value for key, value in profile.items() if key not in ("requests", "limits")}
        usual = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
        placed["tolerations"] = [*placed.get("tolerations", []), *usual]
        return {"spec": {"priorityClassName": "high", **placed, "containers": [{**CONTAINER, "resources": resources}]}}

    model = {"metadata": {"name": "m"}, "spec": {**SPEC, "resourceProfile": "asked:1"}}
    before = {**SPEC, "resourceProfile": "earlier:1"}
    assert differences(pod(earlier), model, before, system)
    assert differences(pod(asked), model, before, system) == []


def test_what_the_managers_configuration_adds_is_no_difference() -> None:
    patched = {"args": [*CONTAINER["args"], "--added-by-json-patch"], "env": [*CONTAINER["env"], {"name": "X", "value": "1"}]}
    assert compare(SPEC, before=SPEC, container=patched) == []


@pytest.mark.parametrize(
    ("engine", "url", "container"),
    [
        ("Infinity", "hf://a/b", {"args": ["v2"], "env": [{"name": "INFINITY_MODEL_ID", "value": "a/b"}]}),
        (
            "OLlama",
            "ollama://gemma2:2b",
            {
                "args": [],
                "startupProbe": {"exec": {"command": ["bash", "-c", "/bin/ollama pull gemma2:2b && /bin/ollama run m hi"]}},
            },
        ),
    ],
)
def test_the_weights_of_other_engines(engine: str, url: str, container: dict[str, Any]) -> None:
    def spec(url: str) -> dict[str, Any]:
        return {"url": url, "engine": engine, "resourceProfile": "cpu:1", "files": SPEC["files"]}

    assert compare(spec(url), container=container) == []
    assert compare(spec(url + "-other"), container=container)


@given(json_values, st.sampled_from(["containers", "priorityClassName"]), json_values)
def test_no_pod_breaks_the_comparison(spec: Any, key: str, value: Any) -> None:
    pod = {"spec": {"containers": copy.deepcopy([CONTAINER]), key: value}}
    differences(pod, {"spec": spec}, {}, SYSTEM)
    differences({"spec": value}, {"spec": SPEC}, {}, None)
