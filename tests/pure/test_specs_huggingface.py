"""What a HuggingFace-serve spec takes and refuses, on every platform."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs import HuggingFaceServe

BASE = {"path": "hf://org/base"}
ISVC = {"runtime": "inferenceservice"}


def volume(**changes: Any) -> dict[str, Any]:
    return {"volume_type": "empty_dir", "name": "v", "mount_path": "/v", **changes}


def findings(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(BadInput) as caught:
        HuggingFaceServe.parse({**BASE, **changes})
    return caught.value.findings


@pytest.mark.parametrize(
    ("given", "field", "stored"),
    [
        ({"path": "huggingface://org/base:v1"}, "path", "hf://org/base:v1"),
        ({"path": "/shared/model"}, "path", "/shared/model"),
        ({"backend": "vllm"}, "backend", "VLLM"),
        ({"dtype": "bfloat16"}, "dtype", "BFLOAT16"),
        ({"huggingface_task": "TEXT_GENERATION"}, "huggingface_task", "text_generation"),
        ({"service_type": "nodeport"}, "service_type", "NodePort"),
        ({**ISVC, "deployment_mode": "RawDeployment"}, "deployment_mode", "Standard"),
        ({**ISVC, "deployment_mode": "serverless"}, "deployment_mode", "Knative"),
        ({"max_length": None}, "max_length", None),
        ({"trust_remote_code": None}, "trust_remote_code", False),
    ],
)
def test_every_spelling_is_stored_as_one(given: dict[str, Any], field: str, stored: Any) -> None:
    assert getattr(HuggingFaceServe.parse({**BASE, **given}), field) == stored


@pytest.mark.parametrize("given", [{"envs": [{"name": "A", "value": "1"}]}, {"envs": {"A": "1"}}, {"env": {"A": "1"}}])
def test_variables_in_either_form(given: dict[str, Any]) -> None:
    assert [(e.name, e.value) for e in HuggingFaceServe.parse({**BASE, **given}).envs] == [("A", "1")]


def test_quantities_may_be_numbers() -> None:
    resources = HuggingFaceServe.parse({**BASE, "resources": {"cpu": 2, "gpu": 1, "mem": "16Gi"}}).resources
    assert (resources.cpu, resources.gpu, resources.mem, resources.disk) == ("2", "1", "16Gi", None)


def test_volume_settings_in_either_spelling() -> None:
    claim = volume(volume_type="PERSISTENT_VOLUME_CLAIM", spec={"size": "10Gi", "storage_class": "fast"})
    assert HuggingFaceServe.parse({**BASE, "volumes": [claim]}).volumes[0].spec == {"size": "10Gi", "storageClass": "fast"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"adapters": []}, "adapters: unknown field; HuggingFace-serve cannot serve LoRA adapters; use KubeAI-text"),
        ({"model": "m"}, "model: unknown field; did you mean 'model_name'?"),
        ({"url": "hf://a/b"}, "url: unknown field; the model's address is 'path' here"),
        ({"max_lenght": 1}, "did you mean 'max_length'?"),
        ({"model_name": "org/base"}, "model_name: 'org/base' cannot stand in the path /v2/models/<name>/ready"),
        ({"model_name": "a b"}, "no slash"),
        ({"path": "store://p/model/huggingface/m:1"}, "path: store:// addresses are DigitalHub's own"),
        ({"path": "model/"}, "path: is no URL"),
        ({"huggingface_task": "text_generaton"}, "did you mean 'text_generation'?"),
        (
            {"huggingface_task": "summarization"},
            "huggingface_task: unknown value 'summarization'; known: sequence_classification,",
        ),
        ({"backend": "VLM"}, "did you mean 'VLLM'?"),
        ({"backend": "VLLM", "huggingface_task": "fill_mask"}, "backend VLLM cannot serve fill_mask; set backend to HUGGINGFACE"),
        ({"dtype": "int4"}, "dtype: unknown value 'int4'"),
        ({"max_length": 0}, "max_length: Input should be greater than or equal to 1"),
        ({"image": ""}, "image: String should have at least 1 character"),
        ({"replicas": 0}, "replicas: 0 replicas: to serve nothing use StopOperator"),
        ({"resources": {"cpu": "two"}}, "resources.cpu: is no Kubernetes quantity: 'two'; write for example 500m"),
        ({"resources": {"mem": "10Foo"}}, "resources.mem: is no Kubernetes quantity"),
        ({"resources": {"gpu": "1.5"}}, "resources.gpu: GPUs come whole"),
        ({"resources": {"memory": "1Gi"}}, "resources.memory: unknown field; did you mean 'mem'?"),
        ({"service_name": "9a"}, "service_name: '9a' is no valid name: lower-case letters, digits and hyphens, a letter first"),
        ({"volumes": [volume(), volume(mount_path="/w")]}, "volume name 'v' is given 2 times"),
        ({"volumes": [volume(), volume(name="w")]}, "mount path '/v' is given 2 times"),
        ({"volumes": [volume(mount_path="v")]}, "volumes.0.mount_path: mount path 'v' should be absolute"),
        ({"volumes": [volume(volume_type="config_map")]}, "volumes.0.volume_type: unknown value 'config_map'"),
        ({"volumes": [volume(volume_type="persistent_volume_claim")]}, "needs spec.claimName (an existing claim) or spec.size"),
        ({"volumes": [volume(volume_type="image")]}, "an image volume needs spec.image"),
        (
            {"volumes": [volume(spec={"size": "1Gi"})]},
            "spec.size: unknown setting of a empty_dir; known: sizeLimit, medium, subPath",
        ),
        ({"envs": [{"name": "A", "value": "1"}] * 2}, "variable 'A' is given 2 times"),
        ({"min_replicas": 1}, "min_replicas needs runtime: inferenceservice (this is deployment)"),
        ({"canary_traffic_percent": 5}, "canary_traffic_percent needs runtime: inferenceservice"),
        ({"deployment_mode": "Knative"}, "deployment_mode needs runtime: inferenceservice"),
        ({**ISVC, "service_name": "latest"}, "service_name needs runtime: deployment"),
        ({**ISVC, "service_type": "NodePort"}, "service_type needs runtime: deployment"),
        ({**ISVC, "min_replicas": 3, "max_replicas": 2}, "min_replicas (3) is greater than max_replicas (2)"),
        ({**ISVC, "replicas": 2, "max_replicas": 3}, "give replicas, or min_replicas and max_replicas, not both"),
        ({**ISVC, "canary_traffic_percent": 5}, "canary_traffic_percent: KServe ignores it in Standard mode"),
        ({**ISVC, "deployment_mode": "Knative", "canary_traffic_percent": 101}, "less than or equal to 100"),
        ({**ISVC, "scale_metric": "rps"}, "scale_metric rps needs deployment_mode: Knative"),
        ({**ISVC, "deployment_mode": "Knative", "scale_metric": "cpu"}, "scale_metric cpu needs deployment_mode: Standard"),
        ({**ISVC, "deployment_mode": "Knative", "strategy": "surge"}, "strategy needs deployment_mode: Standard"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], expected: str) -> None:
    assert any(expected in f for f in findings(**changes)), findings(**changes)


def test_all_findings_come_at_once() -> None:
    assert len(findings(replicas=0, model_name="a/b", backend="x", adapters=[])) == 4
    assert len(findings(min_replicas=1, max_replicas=2, volumes=[volume(), volume()])) == 4


@pytest.mark.parametrize(("model_name", "expected"), [("Llama-3.1_8B", "llama-3-1-8b"), ("7b", "m-7b"), ("model", "model")])
def test_object_names_are_names_of_services(model_name: str, expected: str) -> None:
    assert HuggingFaceServe.parse({**BASE, "model_name": model_name}).object_name == expected


def test_a_number_that_is_left_to_others() -> None:
    left = HuggingFaceServe.parse({"path": "hf://a/b", "replicas": None})
    assert (left.replicas, left.to_json()) == (None, {"path": "hf://a/b", "replicas": None})
    assert HuggingFaceServe.parse(left.to_json()) == left != HuggingFaceServe.parse({"path": "hf://a/b"})
    assert left.hash != HuggingFaceServe.parse({"path": "hf://a/b"}).hash
    with pytest.raises(BadInput, match="min_replicas and max_replicas"):
        HuggingFaceServe.parse({"path": "hf://a/b", "replicas": None, "runtime": "inferenceservice"})
