"""DigitalHub's own documents, and everything else that ``spec=`` may be."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, from_digitalhub, parse_spec

METADATA = {
    "project": "demo",
    "name": "llm",
    "id": "4f2c",
    "key": "store://demo/…",
    "metadata": {"labels": []},
    "status": {"state": "RUNNING"},
}


def entity(kind: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, **METADATA, "spec": spec}


FUNCTION = entity(
    "kubeai-text", url="hf://org/base", model_name="chat", engine="VLLM", features=["TextGeneration"], image=None, adapters=None
)
TASK = entity("kubeai-text+serve", function="kubeai-text://demo/llm:4f2c", profile="1xa100", processors=1)
RUN = entity(
    "kubeai-text+serve:run",
    task="kubeai-text+serve://demo/8a1b",
    function="kubeai-text://demo/llm:4f2c",
    local_execution=False,
    processors=2,
    args=["--enable-prefix-caching"],
    scaling={"min_replicas": 0, "max_replicas": 2, "target_request": 7, "load_balancing": None},
    env={"A": "1"},
    envs=[],
    volumes=[],
    resources=None,
    node_selector=[],
)
EXPECTED = KubeAIText.parse(
    {
        "url": "hf://org/base",
        "model_name": "chat",
        "profile": "1xa100",
        "processors": 2,
        "args": ["--enable-prefix-caching"],
        "scaling": {"min_replicas": 0, "max_replicas": 2, "target_requests": 7},
        "env": {"A": "1"},
    }
)
YAML = """
kind: kubeai-text
name: llm
metadata: {project: demo}
spec: {url: "hf://org/base", model_name: chat, engine: VLLM, features: [TextGeneration]}
---
kind: kubeai-text+serve
spec: {function: "kubeai-text://demo/llm:4f2c", profile: 1xa100}
---
kind: kubeai-text+serve:run
spec:
  task: kubeai-text+serve://demo/8a1b
  processors: 2
  args: [--enable-prefix-caching]
  scaling: {min_replicas: 0, max_replicas: 2, target_request: 7}
  envs: {A: "1"}
"""


@pytest.mark.parametrize(
    "given",
    [
        [FUNCTION, TASK, RUN],
        [RUN, FUNCTION, TASK],
        {"function": FUNCTION, "task": TASK, "run": RUN},
        YAML,
        YAML.encode(),
        entity("kubeai-text+serve:run", **{**TASK["spec"], **RUN["spec"], **FUNCTION["spec"]}),
    ],
    ids=["list", "any order", "mapping", "yaml", "bytes", "run alone"],
)
def test_every_form_of_a_run(given: Any) -> None:
    assert from_digitalhub(given) == EXPECTED
    assert parse_spec(given, "kubeai-text") == EXPECTED


def test_a_function_alone_and_with_its_task() -> None:
    assert from_digitalhub(FUNCTION) == KubeAIText.parse({"url": "hf://org/base", "model_name": "chat"})
    assert from_digitalhub([FUNCTION, TASK]).to_json()["profile"] == "1xa100"


def test_the_run_wins_over_the_task_and_the_function_over_both() -> None:
    function = entity("huggingfaceserve", path="huggingface://org/base", model_name="chat")
    task = entity("huggingfaceserve+serve", replicas=2, backend="VLLM", model_name="task")
    run = entity("huggingfaceserve+serve:run", replicas=3, huggingface_task="text_generation", model_name="run")
    spec = from_digitalhub([function, task, run])
    assert isinstance(spec, HuggingFaceServe)
    assert (spec.replicas, spec.backend, spec.huggingface_task, spec.model_name) == (3, "VLLM", "text_generation", "chat")
    assert spec.trust_remote_code is False


def test_a_null_of_the_run_does_not_hide_the_task() -> None:
    task, run = entity("kubeai-text+serve", profile="gpu"), entity("kubeai-text+serve:run", profile=None)
    assert from_digitalhub([FUNCTION, task, run]).to_json()["profile"] == "gpu"


def test_a_runs_address_may_go_on_from_the_functions() -> None:
    run = entity("kubeai-text+serve:run", url="hf://Org/base-v2")
    assert from_digitalhub([FUNCTION, run]).to_json()["url"] == "hf://Org/base-v2"
    with pytest.raises(BadInput, match="url: the run's hf://other/x does not begin with the function's hf://org/base"):
        from_digitalhub([FUNCTION, entity("kubeai-text+serve:run", url="hf://other/x")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "no function, task or run in it"),
        ("", "no function, task or run in it"),
        (7, "no function, task or run in it"),
        ({"kind": "kubeai-text"}, "needs a kind and a spec"),
        ([FUNCTION, FUNCTION], "two function documents; give one"),
        ([FUNCTION, entity("huggingfaceserve+serve")], "the documents are of different kinds: huggingfaceserve, kubeai-text"),
        (entity("kubeai-speech", url="hf://a/b"), "kubeai-speech (speech to text) is not served by this package"),
        (entity("python"), "kind 'python' is not served by this package; known: huggingfaceserve, kubeai-text"),
        (entity("kubeai-text+build"), "kind 'kubeai-text+build'"),
        (entity("kubeai-text", url="store://demo/model/huggingface/x"), "store:// addresses are DigitalHub's own"),
        (entity("kubeai-text", url="hf://a/b", volumes=[{"name": "v"}]), "volumes: unknown field; KubeAI mounts no volumes"),
        ("kind: [", "is no YAML"),
        ("a: &a [*a]", "an alias refers to itself"),
        ("!!python/object/apply:os.system [ls]", "is no YAML"),
    ],
)
def test_documents_that_cannot_be_read(given: Any, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        from_digitalhub(given)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        EXPECTED,
        EXPECTED.to_json(),
        {"kind": "kubeai-text", **EXPECTED.to_json()},
        "kind: kubeai-text\nurl: hf://org/base\nmodel_name: chat\nprofile: 1xa100\nprocessors: 2\nargs: [--enable-prefix-caching]\n"
        "scaling: {min_replicas: 0, max_replicas: 2, target_requests: 7}\nenv: {A: '1'}\n",
    ],
    ids=["object", "mapping", "mapping with kind", "yaml"],
)
def test_our_own_forms(given: Any) -> None:
    assert parse_spec(given, "kubeai-text") == EXPECTED


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (EXPECTED, "this operator serves huggingfaceserve, and the spec is kubeai-text"),
        (FUNCTION, "this operator serves huggingfaceserve, and the spec is kubeai-text"),
        (
            {"kind": "kubeai-text", "url": "hf://a/b"},
            "kind: this operator serves huggingfaceserve, and the spec says 'kubeai-text'",
        ),
        (None, "expected a mapping, got NoneType"),
        ("just words", "expected a mapping, got str"),
        ([1], "expected a mapping, got list"),
    ],
)
def test_what_is_no_spec_of_that_kind(given: Any, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_spec(given, "huggingfaceserve")
    assert expected in str(caught.value)
