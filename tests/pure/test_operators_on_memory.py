"""What the operators hand to the lifecycle, on a platform in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from support.memory_platform import READY, STARTING, MemoryPlatform, said
from support.tasks import context, run

from airflow_provider_llmserve.hooks.llmserve import LLMServeHook
from airflow_provider_llmserve.operators import KubeAITextServeOperator, ResumeOperator, SweepOperator, TeardownOperator
from airflow_provider_llmserve.readiness.state import ReasonClass, State
from airflow_provider_llmserve.sensors import EndpointReadySensor

AT_ZERO = said(State.SCALED_TO_ZERO, "scaled_to_zero", ReasonClass.STOPPED)
SPEC = {"url": "hf://a/b", "model_name": "m"}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryPlatform]:
    memory = MemoryPlatform()
    monkeypatch.setattr(LLMServeHook, "platform", lambda _: memory)
    monkeypatch.setenv("AIRFLOW__LLMSERVE__INSTANCE", "i")
    return memory


def test_the_airflow_instance_is_part_of_the_owner(platform: MemoryPlatform) -> None:
    endpoint = run(KubeAITextServeOperator(task_id="serve", spec=SPEC))
    assert endpoint["identity"]["owner"]["instance"] == "i"


def test_a_state_store_that_cannot_be_written_takes_the_deployment_back(platform: MemoryPlatform) -> None:
    class Away:
        def set(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("no answer")

    with pytest.raises(ConnectionError):
        KubeAITextServeOperator(task_id="serve", spec=SPEC).execute(context(task_state_store=Away()))
    assert platform.writes == ["apply m", "delete m"]


@pytest.mark.parametrize("ttl", [90, 90.0, timedelta(seconds=90)])
def test_a_time_to_live_is_taken_in_seconds_or_as_a_timedelta(ttl: Any, platform: MemoryPlatform) -> None:
    run(KubeAITextServeOperator(task_id="serve", spec=SPEC, ttl=ttl))
    assert platform.standing["m"].ttl == 90


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), timedelta(0), "soon", True])
def test_a_time_to_live_that_is_none_is_refused(ttl: Any, platform: MemoryPlatform) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="ttl"):
        run(KubeAITextServeOperator(task_id="serve", spec=SPEC, ttl=ttl))
    assert platform.writes == []


def test_the_sensor_records_the_proof(platform: MemoryPlatform) -> None:
    endpoint = run(KubeAITextServeOperator(task_id="serve", spec=SPEC, wait=False))
    assert not platform.standing["m"].proven
    platform.says = (STARTING, READY)
    assert EndpointReadySensor(task_id="ready", endpoint=endpoint).poke(context()).xcom_value["identity"]["uid"]
    assert platform.standing["m"].proven


@pytest.mark.parametrize(("at_zero", "proven"), [("accept", False), ("wake", True)])
def test_the_operators_and_the_sensor_take_a_model_at_zero_as_they_are_told(
    at_zero: Any, proven: bool, platform: MemoryPlatform
) -> None:
    says = platform.says = (AT_ZERO, READY)
    endpoint = run(KubeAITextServeOperator(task_id="serve", spec=SPEC, at_zero=at_zero))
    assert endpoint["proven"] == proven
    assert run(ResumeOperator(task_id="resume", endpoint=endpoint, at_zero=at_zero))["proven"] == proven
    platform.says = says
    sensor = EndpointReadySensor(task_id="ready", endpoint=endpoint, at_zero=at_zero)
    assert sensor.poke(context()).xcom_value["proven"] == proven


def test_the_sweep_looks_by_default_and_deletes_when_told(platform: MemoryPlatform) -> None:
    run(KubeAITextServeOperator(task_id="serve", spec=SPEC, ttl=1))  # the platform's clock stands at the year's first second
    (found,) = run(SweepOperator(task_id="sweep"))
    assert (found["name"], found["expired"], found["deleted"]) == ("m", "2026-01-01T00:00:01+00:00", False)
    assert "m" in platform.standing
    (found,) = run(SweepOperator(task_id="sweep", dry_run=False))
    assert found["deleted"]
    assert platform.standing == {}


def test_a_teardown_in_another_place_fails_for_good(platform: MemoryPlatform) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    endpoint = run(KubeAITextServeOperator(task_id="serve", spec=SPEC))
    platform.here = platform.here.model_copy(update={"cluster": "another"})
    with pytest.raises(AirflowFailException, match=r"uid here.*uid another"):
        run(TeardownOperator(task_id="free", endpoint=endpoint))
    assert "m" in platform.standing
