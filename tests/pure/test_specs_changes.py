"""Edits of a spec: scale, attach, detach."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs import Adapter, HuggingFaceServe, KubeAIText
from airflow_provider_llmserve.specs.changes import scaled, with_adapter, without_adapter

KUBEAI = KubeAIText.parse(
    {
        "url": "hf://org/base",
        "args": ["--max-loras=4"],
        "adapters": [{"name": "tuned-3f9a2c1d", "url": "s3://m/1"}, {"name": "style-00000000", "url": "s3://m/2", "rank": 8}],
        "scaling": {"min_replicas": 1, "max_replicas": 4, "target_requests": 9},
    }
)
DEPLOYMENT = HuggingFaceServe.parse({"path": "hf://org/base", "max_length": 512})
ISVC = HuggingFaceServe.parse({"path": "hf://org/base", "runtime": "inferenceservice"})


def kubeai(**scaling: Any) -> dict[str, Any]:
    return scaled(KUBEAI, **scaling).to_json()["scaling"]


def isvc(spec: HuggingFaceServe = ISVC, **figures: int) -> tuple[int, int | None, int | None, int | None]:
    new = scaled(spec, **figures)
    return new.replicas, new.min_replicas, new.max_replicas, new.scale_target


def test_a_fixed_number_pins_and_keeps_the_bounds() -> None:
    assert kubeai(replicas=3) == {"replicas": 3, "autoscaling_disabled": True, "max_replicas": 4, "target_requests": 9}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"max_replicas": 8}, {"max_replicas": 8, "target_requests": 9}),
        ({"min_replicas": 0}, {"min_replicas": 0, "max_replicas": 4, "target_requests": 9}),
        (
            {"target_requests": 5, "scale_down_delay_seconds": 60},
            {"max_replicas": 4, "target_requests": 5, "scale_down_delay_seconds": 60},
        ),
    ],
)
def test_bounds_are_edited_and_the_rest_kept(figures: dict[str, int], expected: dict[str, Any]) -> None:
    assert kubeai(**figures) == expected


def test_bounds_unpin_and_a_target_does_not() -> None:
    pinned = scaled(KUBEAI, replicas=3)
    assert scaled(pinned, min_replicas=2).scaling.autoscaling_disabled is False
    assert scaled(pinned, target_requests=2).scaling.autoscaling_disabled is True


def test_a_deployment_has_replicas_alone() -> None:
    assert scaled(DEPLOYMENT, replicas=3).to_json() == {**DEPLOYMENT.to_json(), "replicas": 3}


def test_an_inferenceservice_has_bounds() -> None:
    assert isvc(min_replicas=1, max_replicas=3, target_requests=10) == (1, 1, 3, 10)
    bounded = scaled(ISVC, min_replicas=2, max_replicas=3)
    assert isvc(bounded, replicas=4) == (4, None, None, None)
    assert isvc(bounded, max_replicas=5) == (1, 2, 5, None)


@pytest.mark.parametrize(
    ("figures", "bounds"),
    [({"max_replicas": 5}, (3, 5)), ({"max_replicas": 2}, (2, 2)), ({"min_replicas": 1}, (1, 3)), ({"min_replicas": 5}, (5, 5))],
)
def test_a_fixed_number_becomes_the_bound_that_is_not_named(figures: dict[str, int], bounds: tuple[int, int]) -> None:
    assert isvc(scaled(ISVC, replicas=3), **figures) == (1, *bounds, None)


@pytest.mark.parametrize(
    ("spec", "figures", "expected"),
    [
        (KUBEAI, {}, "name at least one figure"),
        (KUBEAI, {"replicas": 0}, "use StopOperator"),
        (KUBEAI, {"replicas": -1}, "scaling.replicas: Input should be greater than or equal to 1"),
        (KUBEAI, {"replicas": 2, "max_replicas": 3}, "replicas is a fixed number; it cannot go with max_replicas"),
        (KUBEAI, {"min_replicas": 5}, "minReplicas should be less than or equal to maxReplicas."),
        (DEPLOYMENT, {"replicas": 0}, "use StopOperator"),
        (
            DEPLOYMENT,
            {"min_replicas": 1},
            "min_replicas: HuggingFace-serve with runtime deployment has no such figure; it takes replicas",
        ),
        (ISVC, {"scale_down_delay_seconds": 1}, "it takes max_replicas, min_replicas, replicas, target_requests"),
    ],
)
def test_figures_that_cannot_be(spec: KubeAIText | HuggingFaceServe, figures: dict[str, int], expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        scaled(spec, **figures)
    assert expected in str(caught.value)


def test_an_adapter_is_added_last_and_the_others_stay() -> None:
    more = with_adapter(KUBEAI, Adapter(name="new", url="s3://m/3", rank=4))
    assert more.adapters == (*KUBEAI.adapters, Adapter(name="new", url="s3://m/3", rank=4))
    assert more.model_copy(update={"adapters": KUBEAI.adapters}) == KUBEAI
    assert without_adapter(more, "new") == KUBEAI


def test_attaching_the_same_again_changes_nothing() -> None:
    assert with_adapter(KUBEAI, Adapter(name="tuned-3f9a2c1d", url="s3://m/1", rank=4)) is KUBEAI


def test_another_url_under_one_name_is_refused_with_the_remedy() -> None:
    with pytest.raises(BadInput, match="attach s3://m/9 under a new name"):
        with_adapter(KUBEAI, Adapter(name="tuned-3f9a2c1d", url="s3://m/9"))


@pytest.mark.parametrize("name", ["tuned", "tuned-3f9a2c1d"])
def test_detach_by_name_or_stem(name: str) -> None:
    assert [a.name for a in without_adapter(KUBEAI, name).adapters] == ["style-00000000"]


def test_detach_the_last() -> None:
    assert without_adapter(without_adapter(KUBEAI, "tuned"), "style").adapters == ()


def test_detach_what_is_not_there_names_what_is() -> None:
    with pytest.raises(BadInput, match="no such adapter on model; served adapters: style-00000000, tuned-3f9a2c1d"):
        without_adapter(KUBEAI, "other")


def test_a_stem_is_what_stands_before_a_digest() -> None:
    with pytest.raises(BadInput, match="no such adapter"):
        without_adapter(with_adapter(KUBEAI, Adapter(name="my-lora", url="s3://m/3")), "my")


def test_an_ambiguous_stem_is_refused() -> None:
    two = with_adapter(KUBEAI, Adapter(name="tuned-11111111", url="s3://m/3"))
    with pytest.raises(BadInput, match="several adapters have that stem"):
        without_adapter(two, "tuned")


def test_huggingface_serve_has_no_adapters() -> None:
    with pytest.raises(BadInput, match="use KubeAI-text"):
        with_adapter(DEPLOYMENT, Adapter(name="a", url="s3://m/1"))


def test_an_adapter_of_another_engine_is_refused() -> None:
    ollama = KubeAIText.parse({"url": "ollama://qwen2", "engine": "OLlama"})
    with pytest.raises(BadInput, match="adapters only supported with VLLM engine"):
        with_adapter(ollama, Adapter(name="a", url="s3://m/1"))
