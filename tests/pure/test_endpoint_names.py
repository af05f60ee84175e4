"""An ``endpoint=`` that names nothing is refused before any request, by every operator and sensor that takes one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory_platform import MemoryPlatform
from support.tasks import context

from airflow_provider_llmserve import names, specs
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.hooks.llmserve import LLMServeHook
from airflow_provider_llmserve.operators import DetachAdapterOperator, ScaleOperator, StopOperator, TeardownOperator
from airflow_provider_llmserve.operators._base import read_endpoint
from airflow_provider_llmserve.sensors import EndpointReadySensor

IDENTITY = {"platform": "local", "kind": "kubeai-text", "runtime": "local", "name": "m", "uid": "u", "specHash": "h"}
SERVICE = {"url": "http://127.0.0.1:1"}

NAMELESS: list[Any] = [
    None,
    "",
    "None",
    "m",
    [],
    {},
    {"kind": "kubeai-text"},
    {"kind": "x"},
    {"name": ""},
    {"name": None},
    {"name": "None"},
    {"name": 7},
    {"name": ["m"]},
    {"name": "a/b"},
    {"name": "../../secrets/x"},
    {"name": "a%2fb"},
    {"name": "m "},
    {"name": "m\n"},
    {"name": "M"},
    {"name": "m" * 300},
    {"name": "m", "kind": "x"},
    {"name": "m", "kind": ["kubeai-text"]},
    {"name": "m", "namespace": "other"},
    {"identity": None},
    {"identity": {}, "service": SERVICE},
    {"identity": {**IDENTITY, "name": ""}, "service": SERVICE},
    {"identity": {**IDENTITY, "name": "a/b"}, "service": SERVICE},
    {"identity": {**IDENTITY, "uid": ""}, "service": SERVICE},
    {"identity": {**IDENTITY, "kind": ""}, "service": SERVICE},
    {"identity": {**IDENTITY, "kind": "x"}, "service": SERVICE},
    {"identity": {k: v for k, v in IDENTITY.items() if k != "uid"}, "service": SERVICE},
]


@pytest.mark.parametrize("value", NAMELESS, ids=repr)
def test_what_names_nothing_is_refused(value: Any) -> None:
    with pytest.raises(BadInput, match="endpoint"):
        read_endpoint(value)


def test_every_kind_has_its_spec() -> None:
    assert list(specs.KINDS) == list(names.KINDS)


def test_what_names_something_is_read() -> None:
    target, conn_id = read_endpoint({"name": "llama-3.1-8b", "kind": "huggingfaceserve"})
    assert (target.name, target.kind, target.uid, target.place, conn_id) == ("llama-3.1-8b", "huggingfaceserve", "", None, None)
    target, conn_id = read_endpoint({"identity": {**IDENTITY, "stateDir": "/s", "connection": "c"}, "service": SERVICE})
    assert target.place is not None
    assert (target.uid, target.place.state_dir, conn_id) == ("u", "/s", "c")


junk = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
mappings = st.dictionaries(
    st.sampled_from(["name", "kind", "identity", "service", "x"]), st.recursive(junk, st.lists, max_leaves=4)
)


@given(junk | mappings | mappings.map(lambda m: {"identity": {**IDENTITY, **m}, "service": SERVICE}))
def test_nothing_but_a_name_of_one_segment_gets_through(value: Any) -> None:
    try:
        target, _ = read_endpoint(value)
    except BadInput:
        return
    assert target.name
    assert "/" not in target.name


@pytest.mark.parametrize("value", [None, {"name": ""}, {"kind": "x"}, {"name": "a/b"}], ids=repr)
@pytest.mark.parametrize(
    "operator",
    [
        lambda e: TeardownOperator(task_id="t", endpoint=e),
        lambda e: ScaleOperator(task_id="t", endpoint=e, replicas=2),
        lambda e: StopOperator(task_id="t", endpoint=e),
        lambda e: DetachAdapterOperator(task_id="t", endpoint=e, adapter="a"),
        lambda e: EndpointReadySensor(task_id="t", endpoint=e),
    ],
    ids=["teardown", "scale", "stop", "detach", "ready"],
)
def test_the_task_fails_for_good_and_nothing_is_asked(operator: Any, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    platform = MemoryPlatform()
    monkeypatch.setattr(LLMServeHook, "platform", lambda _: pytest.fail("the platform was opened"))
    with pytest.raises(AirflowFailException, match="endpoint"):
        operator(value).execute(context())
    assert platform.writes == []
