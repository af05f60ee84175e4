"""What becomes of a write whose task fails: nothing of ours stays behind, and what stood before is never deleted."""

from __future__ import annotations

import asyncio

import pytest
from support.memory_platform import BROKEN, READY, STARTING, MemoryPlatform, said

from airflow_provider_llmserve.errors import LLMServeError, Rejected, ServingFailed, Unavailable
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.lifecycle import change, in_seconds, prove, serve, settle
from airflow_provider_llmserve.readiness.state import ReasonClass, State
from airflow_provider_llmserve.specs import KubeAIText

OLD = KubeAIText.parse({"url": "hf://a/b", "model_name": "m"})
NEW = KubeAIText.parse({"url": "hf://a/c", "model_name": "m"})
THIRD = KubeAIText.parse({"url": "hf://a/d", "model_name": "m"})
FIRST = Owner(dag_id="d", run_id="1", task_id="serve", try_number=1)
SECOND = Owner(dag_id="d", run_id="2", task_id="serve", try_number=1)
AGAIN = FIRST.model_copy(update={"try_number": 2})
AT_ZERO = said(State.SCALED_TO_ZERO, "scaled_to_zero", ReasonClass.STOPPED)


def want(spec: KubeAIText = OLD, owner: Owner = FIRST, **options: bool) -> Want:
    return Want(spec=spec, name="m", owner=owner, **options)


async def stands(how: str) -> MemoryPlatform:
    """A platform on which ``OLD`` stands by the first run: proven, deployed without a wait, or accepted at zero."""
    platform = MemoryPlatform(says=(AT_ZERO,) if how == "at zero" else (READY,))
    await serve(platform, want(), timeout=5, wait=how != "not waited for")
    assert platform.standing["m"].proven == (how == "proven")
    platform.says = (BROKEN,)
    platform.writes.clear()
    return platform


HOW = ("proven", "not waited for", "at zero")
FAULTS = {
    "a verdict": None,
    "another object is refused": Rejected("quota"),
    "the API server is away": Unavailable("503"),
    "the state store cannot be written": "store",
    "a kill between two writes": asyncio.CancelledError(),
    "a bug": RuntimeError("bug"),
}


async def fail(platform: MemoryPlatform, wanted: Want, fault: object) -> BaseException:
    def remember(run: ServingRun) -> None:
        if fault == "store":
            raise OSError("the state store is away")

    platform.fault = fault if isinstance(fault, BaseException) else None
    with pytest.raises((LLMServeError, OSError, RuntimeError, asyncio.CancelledError)) as caught:
        await serve(platform, wanted, timeout=5, on_applied=remember)
    return caught.value


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_whatever_fails_after_the_first_object_a_first_deployment_leaves_nothing(fault: object) -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    error = await fail(platform, want(), fault)
    assert platform.standing == {}
    assert platform.writes == ["apply m", "delete m"]
    if isinstance(error, LLMServeError):
        assert str(error).endswith("The failed deployment was removed; none of its pods is left.")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_whatever_fails_an_update_puts_back_what_stood_before(fault: object, how: str) -> None:
    platform = await stands(how)
    error = await fail(platform, want(NEW, SECOND), fault)
    run = platform.standing["m"]
    assert (run.spec, run.owner, run.proven) == (OLD, FIRST, how == "proven")
    if isinstance(error, LLMServeError):
        assert ("never proven" in str(error)) == (how != "proven")


@pytest.mark.parametrize("how", HOW)
async def test_a_failed_change_puts_back_what_stood_before(how: str) -> None:
    platform = await stands(how)
    with pytest.raises(ServingFailed):
        await change(platform, Target(name="m"), lambda spec, stopped: (NEW, stopped), timeout=5)
    assert platform.standing["m"].spec == OLD
    platform.fault = Unavailable("503")
    with pytest.raises(Unavailable):
        await change(platform, Target(name="m"), lambda spec, stopped: (spec, stopped), timeout=5, wait=False)
    assert platform.standing["m"].spec == OLD, "nor does one that changes nothing delete it"


async def test_the_last_proven_spec_is_put_back_over_one_that_never_was() -> None:
    platform = await stands("proven")
    await serve(platform, want(NEW, SECOND), timeout=5, wait=False)
    with pytest.raises(ServingFailed, match="the last good spec was put back"):
        await serve(platform, want(THIRD, SECOND.model_copy(update={"run_id": "3"})), timeout=5)
    assert (platform.standing["m"].spec, platform.standing["m"].proven) == (OLD, True)


async def test_a_retry_that_fails_removes_what_its_killed_first_try_left() -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    await platform.apply(want(), replacing=None)  # and then its worker was gone
    with pytest.raises(ServingFailed, match="was removed"):
        await serve(platform, want(owner=AGAIN), timeout=5)
    assert platform.standing == {}


async def test_a_retry_puts_back_what_stood_before_its_killed_first_try() -> None:
    platform = await stands("not waited for")
    first, second = SECOND, SECOND.model_copy(update={"try_number": 2})
    await platform.apply(want(NEW, first), replacing=platform.standing["m"])
    with pytest.raises(ServingFailed, match="never proven"):
        await serve(platform, want(NEW, second), timeout=5)
    assert (platform.standing["m"].spec, platform.standing["m"].owner) == (OLD, FIRST)


async def test_a_cleared_task_that_does_not_wait_deletes_nothing_it_deployed_before() -> None:
    platform = await stands("not waited for")
    platform.fault = Unavailable("503")
    with pytest.raises(Unavailable, match="left alone"):
        await serve(platform, want(owner=AGAIN), timeout=5, wait=False)
    assert platform.standing["m"].spec == OLD


async def test_keep_says_that_its_pods_stay() -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    with pytest.raises(ServingFailed, match="its pods keep their resources until it is torn down"):
        await serve(platform, want(), timeout=5, on_failure="keep")
    assert platform.standing["m"].spec == OLD


async def test_that_taking_back_failed_is_said_and_hides_nothing() -> None:
    platform = MemoryPlatform(says=(BROKEN,))

    async def delete(*_: object, **__: object) -> None:
        raise Unavailable("no answer")

    platform.delete = delete  # type: ignore[method-assign]
    with pytest.raises(ServingFailed, match=r"(?s)image_not_found.*It may still run: taking it back failed too: no answer"):
        await serve(platform, want(), timeout=5)


async def test_every_wait_that_sees_ready_records_it() -> None:
    """A sensor's wait too: else the next failed update would put back something older, or nothing."""
    platform = MemoryPlatform(says=(STARTING, READY))
    await serve(platform, want(), timeout=5, wait=False)
    run = platform.standing["m"]
    await settle(platform, run, await prove(platform, run, deadline=in_seconds(5)))
    assert platform.standing["m"].proven


async def test_zero_replicas_prove_nothing_but_a_stop_is_what_was_asked() -> None:
    platform = await stands("at zero")
    platform.says = (AT_ZERO,)
    await change(platform, Target(name="m"), lambda spec, stopped: (spec, True), timeout=5)
    assert platform.standing["m"].proven
    platform.says = (BROKEN,)
    with pytest.raises(ServingFailed):
        await change(platform, Target(name="m"), lambda spec, stopped: (spec, False), timeout=5)
    assert platform.standing["m"].stopped, "a resume that fails goes back to the stop"
