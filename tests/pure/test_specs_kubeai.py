"""What a KubeAI-text spec takes and refuses, on every platform."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs import KubeAIText

BASE = {"url": "hf://org/base"}
TUNED = {"name": "tuned", "url": "s3://models/tuned"}


def findings(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(BadInput) as caught:
        KubeAIText.parse({**BASE, **changes})
    return caught.value.findings


@pytest.mark.parametrize(
    ("given", "field", "stored"),
    [
        ({"engine": "vllm"}, "engine", "VLLM"),
        ({"engine": "OLLAMA"}, "engine", "OLlama"),
        ({"engine": "SGLang"}, "engine", "SGLang"),
        ({"engine": "LlamaCpp"}, "engine", "LlamaCpp"),
        ({"features": ["textgeneration", "TextGeneration"]}, "features", ("TextGeneration",)),
        ({"features": ["ImageGeneration"]}, "features", ("ImageGeneration",)),
        ({"url": "huggingface://org/base"}, "url", "hf://org/base"),
        ({"url": "file:///models/base.gguf"}, "url", "file:///models/base.gguf"),
        ({"envs": {"A": "1"}}, "env", {"A": "1"}),
        ({"env": [{"name": "A", "value": " spaced "}]}, "env", {"A": " spaced "}),
        ({"env": {"A": "1"}, "envs": []}, "env", {"A": "1"}),
        ({"envs": {"A": "1"}, "env": {}}, "env", {"A": "1"}),
        ({"secrets": {"b", "a"}}, "secrets", ("a", "b")),
        ({"secrets": ["b", "a", "b"]}, "secrets", ("b", "a")),
        ({"image": None}, "image", None),
        ({"processors": "2"}, "processors", 2),
        ({"args": [" --flag ", "--x=1"]}, "args", (" --flag ", "--x=1")),
    ],
)
def test_every_spelling_is_stored_as_one(given: dict[str, Any], field: str, stored: Any) -> None:
    assert getattr(KubeAIText.parse({**BASE, **given}), field) == stored


def test_target_request_is_target_requests() -> None:
    by_sdk = KubeAIText.parse({**BASE, "scaling": {"target_request": 7}})
    assert by_sdk.scaling.target_requests == 7
    assert by_sdk.hash == KubeAIText.parse({**BASE, "scaling": {"target_requests": 7}}).hash


def test_file_contents_keep_their_white_space() -> None:
    spec = KubeAIText.parse({**BASE, "files": [{"path": "/etc/template", "content": "  line\n"}]})
    assert spec.files[0].content == "  line\n"


def test_an_uploaded_adapter_goes_in_as_it_is() -> None:
    uploaded = {**TUNED, "digest": "3f" * 32, "base_model": "org/base", "rank": 16, "size": 1234}
    assert KubeAIText.parse({**BASE, "adapters": [uploaded]}).adapters[0].rank == 16


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"engin": "VLLM"}, "engin: unknown field; did you mean 'engine'?"),
        ({"qqq": 1}, "qqq: unknown field; known: adapters, args,"),
        ({"path": "hf://a/b"}, "path: unknown field; the model's address is 'url' here"),
        ({"resources": {"cpu": "1"}}, "resources: unknown field; KubeAI takes resources from a profile"),
        ({"min_replicas": 1}, "min_replicas: unknown field; it stands under 'scaling': scaling.min_replicas"),
        ({"scaling": {"max_replica": 2}}, "scaling.max_replica: unknown field; did you mean 'max_replicas'?"),
        ({"adapters": [{**TUNED, "nmae": "x"}]}, "adapters.0.nmae: unknown field; did you mean 'name'?"),
        ({"env": {"A": "1"}, "envs": {"A": "2"}}, "envs: another spelling of 'env', which is given too, with another value"),
        ({"scaling": {"target_request": 1, "target_requests": 2}}, "another spelling of 'target_requests', which is given too"),
        ({"url": ""}, "url: is no URL"),
        ({"url": "org/base"}, "write hf://org/model"),
        ({"url": "store://p/model/huggingface/m"}, "store:// addresses are DigitalHub's own; give the model's own URL"),
        ({"adapters": [{"name": "a", "url": "store://p/model/m"}]}, "adapters.0.url: store:// addresses"),
        ({"engine": "vlm"}, "engine: unknown value 'vlm'; did you mean 'VLLM'?"),
        ({"engine": "Ollma"}, "did you mean 'OLlama'?"),
        ({"engine": "a b"}, "engine: unknown value 'a b'; known: VLLM, OLlama, Infinity"),
        ({"engine": "FASTERWHISPER"}, "speech to text is DigitalHub's kubeai-speech"),
        ({"features": ["SpeechToText"]}, "speech to text is DigitalHub's kubeai-speech"),
        ({"features": ["TextGenration"]}, "did you mean 'TextGeneration'?"),
        ({"features": ["text-embedding"]}, "did you mean 'TextEmbedding'?"),
        ({"features": []}, "features: say what the model can do"),
        ({"model_name": "a" * 41}, "name must not exceed 40 characters."),
        ({"model_name": "???"}, "has no letter or digit"),
        ({"profile": "gpu:2"}, "profile: give the profile's name alone; its multiple is 'processors'"),
        ({"processors": 0}, "processors: Input should be greater than or equal to 1"),
        ({"processors": True}, "processors: should be a whole number"),
        ({"env": {"1A": "x"}}, "no valid name"),
        ({"env": {"A": 1}}, "env.A: Input should be a valid string"),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "variable 'A' is given twice"),
        ({"secrets": ["My Secret"]}, "secrets.0: 'My Secret' is no valid name"),
        ({"files": [{"path": "etc/x", "content": ""}]}, "Path must be an absolute path, starting with /,"),
        ({"files": [{"path": "/a:b", "content": ""}]}, "must not contain a ':' character."),
        ({"files": [{"path": "/a", "content": "x" * 100_001}]}, "at most 100000 characters"),
        ({"files": [{"path": f"/{n}", "content": ""} for n in range(11)]}, "files: Tuple should have at most 10 items"),
        ({"files": [{"path": "/a", "content": ""}] * 2}, "All file paths must be unique."),
        ({"scaling": {"replicas": 0}}, "scaling.replicas: 0 replicas: to serve nothing use StopOperator"),
        ({"scaling": {"min_replicas": -1}}, "scaling.min_replicas: Input should be greater than or equal to 0"),
        ({"scaling": {"min_replicas": 3, "max_replicas": 2}}, "minReplicas should be less than or equal to maxReplicas."),
        ({"scaling": {"max_replicas": 0}}, "scaling.max_replicas: Input should be greater than or equal to 1"),
        ({"scaling": {"load_balancing": {"strategy": "Prefix"}}}, "did you mean 'PrefixHash'?"),
        ({"scaling": {"load_balancing": {"prefix_hash": {"mean_load_factor": 99}}}}, "greater than or equal to 100"),
        ({"engine": "OLlama", "adapters": [TUNED]}, "adapters only supported with VLLM engine."),
        ({"engine": "Infinity"}, "engine Infinity serves embeddings and reranking only; set features to [TextEmbedding]"),
        ({"adapters": [TUNED, TUNED]}, "adapters: 'tuned' is given 2 times; a new version of an adapter is a new name"),
        ({"adapters": [{**TUNED, "name": "-a"}]}, "adapters.0.name: '-a' is no valid name"),
        ({"adapters": [{**TUNED, "name": "a-"}]}, "no hyphen first or last"),
        ({"adapters": [{**TUNED, "name": "A"}]}, "lower-case letters"),
        ({"adapters": [{**TUNED, "name": "a" * 64}]}, "at most 63 characters"),
        (
            {"adapters": [{**TUNED, "base_model": "org/other"}]},
            "adapter 'tuned' was trained on org/other, but hf://org/base is served",
        ),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], expected: str) -> None:
    assert any(expected in f for f in findings(**changes)), findings(**changes)


def test_all_findings_come_at_once() -> None:
    assert len(findings(engin="x", engine="vlm", url="nowhere", scaling={"replicas": 0, "foo": 1})) == 5
    assert len(findings(engine="OLlama", adapters=[TUNED, TUNED])) == 2


@pytest.mark.parametrize("name", ["a", "9", "a-b", "a" * 63])
def test_adapter_names_that_can_be_routed(name: str) -> None:
    assert KubeAIText.parse({**BASE, "adapters": [{**TUNED, "name": name}]}).adapters[0].name == name


@pytest.mark.parametrize(
    ("url", "base_model"),
    [
        ("hf://org/base", "hf://org/base"),
        ("hf://org/base", "Org/Base"),
        ("hf://org/Base-1B-Instruct-GGUF/q.gguf", "org/Base-1B-Instruct"),
        ("hf://mirror/base-bnb-4bit", "org/base"),
        ("hf://org/base:v2", "org/base"),
        ("s3://models/base", "org/other"),
        ("hf://org/base", "/home/me/other"),
        ("hf://org/base", "s3://models/other"),
    ],
)
def test_bases_that_may_be_the_same(url: str, base_model: str) -> None:
    assert KubeAIText.parse({"url": url, "adapters": [{**TUNED, "base_model": base_model}]}).adapters


def test_the_hash_is_of_what_is_said_not_of_how() -> None:
    plain = KubeAIText.parse(BASE)
    spelt_out = KubeAIText.parse({"url": "huggingface://org/base", "engine": "vllm", "scaling": {"replicas": "1"}, "image": None})
    assert plain.hash == spelt_out.hash
    assert plain.to_json() == {"url": "hf://org/base"}
    assert plain.hash != KubeAIText.parse({**BASE, "processors": 2}).hash
    assert plain.hash == "fcad4e5208de7391"


def test_object_names_are_labels_and_keep_apart() -> None:
    from airflow_provider_llmserve.specs.base import slug

    assert KubeAIText.parse({**BASE, "model_name": "Llama 3.1_8B"}).object_name == "llama-3-1-8b"
    long = [slug(f"{'a' * 60}{n}", 40) for n in range(2)]
    assert [len(n) for n in set(long)] == [40, 40]
