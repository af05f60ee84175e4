"""A model at zero by design has proven nothing: it is accepted and called so, woken, or refused."""

from __future__ import annotations

import pytest
from support.memory_platform import READY, STARTING, MemoryPlatform, said

from airflow_provider_llmserve.errors import ServingFailed, Unavailable, WaitTimeout
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.lifecycle import change, serve, wait_until_proven
from airflow_provider_llmserve.readiness.state import ReasonClass, State
from airflow_provider_llmserve.specs import KubeAIText

AT_ZERO = said(State.SCALED_TO_ZERO, "scaled_to_zero", ReasonClass.STOPPED)
STOPPED = said(State.SCALED_TO_ZERO, "stopped", ReasonClass.STOPPED)
SPEC = KubeAIText.parse({"url": "hf://a/b", "model_name": "m", "scaling": {"min_replicas": 0}})
WANT = Want(spec=SPEC, name="m", owner=Owner(dag_id="d"))


async def test_it_is_accepted_by_default_and_the_endpoint_says_that_nothing_was_proven() -> None:
    platform = MemoryPlatform(says=(STARTING, AT_ZERO))
    endpoint = await serve(platform, WANT, timeout=5)
    assert (endpoint.proven, endpoint.to_xcom()["proven"], platform.standing["m"].proven) == (False, False, False)
    assert platform.writes == ["apply m"]


@pytest.mark.parametrize(("says", "wait", "proven"), [((READY,), True, True), ((), False, False)])
async def test_an_endpoint_says_whether_every_name_has_answered(says: tuple, wait: bool, proven: bool) -> None:
    endpoint = await serve(MemoryPlatform(says=says), WANT, timeout=5, wait=wait)
    assert endpoint.proven == proven


async def test_it_is_woken_by_one_request_and_then_proven() -> None:
    platform = MemoryPlatform(says=(AT_ZERO, AT_ZERO, STARTING, READY))
    endpoint = await serve(platform, WANT, timeout=5, at_zero="wake")
    assert endpoint.proven
    assert platform.standing["m"].proven
    assert platform.writes == ["apply m", "wake m", "settle m"]


async def test_it_is_woken_again_where_it_goes_back_to_zero() -> None:
    """KubeAI's autoscaler does so at its next look, where the request came before it had counted anew (v0.22.1)."""
    platform = MemoryPlatform(says=(AT_ZERO, STARTING, AT_ZERO, AT_ZERO, STARTING, READY))
    assert (await serve(platform, WANT, timeout=5, at_zero="wake")).proven
    assert platform.writes == ["apply m", "wake m", "wake m", "settle m"]


async def test_a_platform_that_is_away_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    platform, faults = MemoryPlatform(says=(AT_ZERO, AT_ZERO, AT_ZERO, READY)), [Unavailable("503")]
    wake = platform.wake

    async def away(run: ServingRun) -> None:
        if faults:
            raise faults.pop()
        await wake(run)

    monkeypatch.setattr(platform, "wake", away)
    assert (await serve(platform, WANT, timeout=5, at_zero="wake")).proven
    assert platform.writes.count("wake m") == 1


async def test_one_that_does_not_wake_ends_the_wait_at_its_deadline() -> None:
    platform = MemoryPlatform(says=(AT_ZERO,))
    with pytest.raises(WaitTimeout, match="scaled_to_zero"):
        await serve(platform, WANT, timeout=0.05, at_zero="wake")
    assert platform.writes == ["apply m", "wake m", "delete m"]


async def test_it_is_refused_and_taken_back() -> None:
    platform = MemoryPlatform(says=(AT_ZERO,))
    with pytest.raises(ServingFailed, match='is at zero, and at_zero="refuse"'):
        await serve(platform, WANT, timeout=5, at_zero="refuse")
    assert platform.writes == ["apply m", "delete m"]


@pytest.mark.parametrize("at_zero", ["accept", "wake", "refuse"])
async def test_what_was_stopped_is_meant_to_be_there(at_zero: str) -> None:
    platform = MemoryPlatform()
    await serve(platform, WANT, timeout=5)
    platform.says = (STOPPED,)
    await change(platform, Target("m"), lambda spec, _: (spec, True), timeout=5, at_zero=at_zero)  # type: ignore[arg-type]
    await wait_until_proven(platform, platform.standing["m"], timeout=5, at_zero=at_zero)  # type: ignore[arg-type]
    assert "wake m" not in platform.writes
