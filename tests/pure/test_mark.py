"""The mark: it changes with whatever makes a pod, and with nothing else; and it is the same in every release."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from support.kubeai_pods import SYSTEM, pod_for
from support.spec_strategies import huggingface_specs, kubeai_specs

from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.mark import VARIABLE, annotated, in_environment, mark_of
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KINDS, KubeAIText, ServeSpec

CONNECTION = Settings(platform="kubernetes", namespace="ns", profiles={"gpu": {"node_selector": {"a": "b"}}})
BASE = {
    "kubeai-text": {"url": "hf://acme/base"},
    "deployment": {"path": "hf://acme/base", "runtime": "deployment"},
    "inferenceservice": {"path": "hf://acme/base", "runtime": "inferenceservice"},
}
GOLDEN = {"kubeai-text": "fa5ffc9503c91262", "deployment": "7a2f007825342e14", "inferenceservice": "9e5d2742bba74b95"}


def primary(spec: ServeSpec, *, stopped: bool = False, settings: Settings = CONNECTION) -> dict[str, Any]:
    return runtime_for(spec).render(spec, name="m", namespace="ns", stopped=stopped, settings=settings)[0]


def mark(of: str, *, stopped: bool = False, **fields: Any) -> str:
    spec = KINDS["kubeai-text" if of == "kubeai-text" else "huggingfaceserve"].parse({**BASE[of], **fields})
    return runtime_for(spec).mark_in(primary(spec, stopped=stopped))


@pytest.mark.parametrize("of", BASE)
def test_the_digest_is_fixed(of: str) -> None:
    """A release that changes one of these rolls every model out: say so in the changelog, or do not."""
    assert mark(of) == GOLDEN[of]


def test_the_digest_knows_no_order_of_keys() -> None:
    assert mark_of({"a": 1, "b": [1, 2]}) == mark_of({"b": [1, 2], "a": 1}) == "8baa73198470c7bb"
    assert mark_of({"a": [2, 1]}) != mark_of({"a": [1, 2]})


MAKES_A_POD = [
    *(("kubeai-text", one) for one in (
        {"url": "hf://acme/other"},
        {"url": "pvc://claim?model=a"},
        {"engine": "Infinity", "features": ["TextEmbedding"]},
        {"image": "vllm:2"},
        {"args": ["--seed=1"]},
        {"env": {"A": "1"}},
        {"secrets": ["hub"]},
        {"files": [{"path": "/f", "content": "old"}]},
        {"files": [{"path": "/f", "content": "new"}]},
        {"files": [{"path": "/g", "content": "new"}]},
        {"profile": "gpu"},
        {"processors": 2},
        {"cache_profile": "shared"},
        {"priority_class": "high"},
        {"adapters": [{"name": "law", "url": "hf://acme/law"}]},
    )),
    *((of, one) for of in ("deployment", "inferenceservice") for one in (
        {"path": "hf://acme/other"},
        {"path": "pvc://claim/a"},
        {"path": "pvc://claim/b"},
        {"path": "s3://bucket/a"},
        {"path": "s3://bucket/a", "storage_secret": "one"},
        {"path": "s3://bucket/a", "storage_secret": "two"},
        {"image": "kserve/huggingfaceserver:v0.18.0"},
        {"dtype": "FLOAT16"},
        {"args": ["--seed=1"]},
        {"envs": {"A": "1"}},
        {"secrets": ["hub"]},
        {"resources": {"gpu": "1"}},
        {"resources": {"mem": "4Gi"}},
        {"node_selector": {"a": "b", "c": "d"}},
        {"profile": "gpu"},
        {"tolerations": [{"operator": "Exists"}]},
        {"affinity": {"nodeAffinity": {}}},
        {"priority_class": "high"},
        {"runtime_class": "nvidia"},
        {"service_account": "robot"},
        {"registry_secret": "pull"},
        {"volumes": [{"volume_type": "persistent_volume_claim", "name": "v", "mount_path": "/v", "spec": {"claimName": "c"}}]},
        {"startup_seconds": 77},
    )),
    ("inferenceservice", {"serving_runtime": "mine"}),
    ("inferenceservice", {"deployment_mode": "Knative"}),
]  # fmt: skip
MAKES_NONE = [
    *(("kubeai-text", one) for one in (
        {"features": ["TextGeneration", "TextEmbedding"]},
        {"scaling": {"min_replicas": 2, "max_replicas": 5, "target_requests": 7, "scale_down_delay_seconds": 1}},
        {"scaling": {"autoscaling_disabled": True, "replicas": 3}},
        {"scaling": {"load_balancing": {"strategy": "PrefixHash"}}},
    )),
    ("deployment", {"replicas": 3}),
    ("deployment", {"replicas": None}),
    ("deployment", {"strategy": "recreate"}),
    ("deployment", {"service_name": "alias"}),
    ("inferenceservice", {"replicas": 3}),
    ("inferenceservice", {"min_replicas": 1, "max_replicas": 5}),
    ("inferenceservice", {"strategy": "recreate"}),
]  # fmt: skip


@pytest.mark.parametrize("of", BASE)
def test_whatever_makes_a_pod_is_in_it(of: str) -> None:
    changes = [change for which, change in MAKES_A_POD if which == of]
    marks = [mark(of), *(mark(of, **change) for change in changes)]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize(("of", "change"), MAKES_NONE)
def test_nothing_else_is_in_it(of: str, change: dict[str, Any]) -> None:
    assert mark(of, **change) == mark(of)


@pytest.mark.parametrize("of", BASE)
def test_stopping_keeps_it(of: str) -> None:
    assert mark(of, stopped=True) == mark(of)


def test_further_adapters_load_into_running_pods_and_the_first_does_not() -> None:
    law, med = {"name": "law", "url": "hf://acme/law"}, {"name": "med", "url": "hf://acme/med"}
    one, two, none = (mark("kubeai-text", adapters=a) for a in ([law], [law, med], []))
    assert one == two != none


def test_the_features_of_ollama_shape_its_pod() -> None:
    ollama = {"url": "ollama://gemma2:2b", "engine": "OLlama"}
    both = mark("kubeai-text", **ollama, features=["TextGeneration", "TextEmbedding"])
    assert mark("kubeai-text", **ollama, features=["TextGeneration"]) != both


@examples(max_examples=200, deadline=None)
@given(kubeai_specs(), kubeai_specs())
def test_two_models_of_one_mark_make_one_pod_and_of_two_marks_two(one: KubeAIText, other: KubeAIText) -> None:
    """By what KubeAI's manager makes of a Model (``support.kubeai_pods``), our variable aside."""

    def made(spec: KubeAIText) -> tuple[str, Any]:
        model = primary(spec)
        model["metadata"]["uid"] = "u"
        name = model["spec"]["env"].pop(VARIABLE)
        pod = pod_for(model, {**SYSTEM, "resourceProfiles": _Any(), "modelServers": _Any(), "cacheProfiles": _Any()})
        features = model["spec"]["features"] if spec.engine == "OLlama" else []
        contents = [[f["path"], f["content"]] for f in model["spec"].get("files", [])]
        return name, (pod["spec"], spec.url, contents, features, spec.cache_profile, f"{spec.profile}:{spec.processors}")

    (mark_one, pod_one), (mark_other, pod_other) = made(one), made(other)
    assert (mark_one == mark_other) == (pod_one == pod_other)


class _Any(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        return {"requests": {}, "images": {"default": f"an image for {key}"}}

    def __contains__(self, key: object) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]


@examples(max_examples=100, deadline=None)
@given(huggingface_specs())
def test_the_same_spec_gives_the_same_mark(spec: Any) -> None:
    settings = Settings(platform="kubernetes", profiles={spec.profile: {}} if spec.profile else {})
    first = primary(spec, settings=settings)
    assert runtime_for(spec).mark_in(first)
    again = primary(type(spec).parse(spec.to_json()), settings=settings)
    assert runtime_for(spec).mark_in(again) == runtime_for(spec).mark_in(first)


@pytest.mark.parametrize("thing", [{}, {"metadata": 1}, {"metadata": {"annotations": []}}, {"spec": {"containers": [3, {}]}}])
def test_nothing_breaks_the_reading(thing: Any) -> None:
    assert (annotated(thing, "metadata"), in_environment(thing, "server")) == ("", "")
    for of in BASE:
        spec = KINDS["kubeai-text" if of == "kubeai-text" else "huggingfaceserve"].parse(BASE[of])
        assert runtime_for(spec).mark_in(thing) == ""
