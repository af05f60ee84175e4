"""Serve, change and tear down: all or nothing, the later wins, nobody else's is touched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from support.memory_platform import BROKEN, READY, REPLACED, STARTING, MemoryPlatform

from airflow_provider_llmserve.errors import BadInput, ServingFailed, Superseded, WaitTimeout
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.lifecycle import change, require, serve, target_of, teardown
from airflow_provider_llmserve.platforms.lifecycle.waiting import _news
from airflow_provider_llmserve.specs import KubeAIText

OLD = KubeAIText.parse({"url": "hf://a/b", "model_name": "m"})
NEW = KubeAIText.parse({"url": "hf://a/c", "model_name": "m"})
FIRST = Owner(dag_id="d", run_id="1", task_id="serve", try_number=1)
SECOND = Owner(dag_id="d", run_id="2", task_id="serve", try_number=1)


def want(spec: KubeAIText = OLD, owner: Owner = FIRST, **options: bool) -> Want:
    return Want(spec=spec, name="m", owner=owner, **options)


async def deployed(platform: MemoryPlatform, spec: KubeAIText = OLD, owner: Owner = FIRST) -> ServingRun:
    says, platform.says = platform.says, (READY,)
    await serve(platform, want(spec, owner), timeout=5)
    platform.says = says
    platform.writes.clear()
    return platform.standing["m"]


async def test_a_proven_deployment_returns_its_endpoint_and_owes_no_rollback() -> None:
    platform = MemoryPlatform(says=(STARTING, READY))
    told: list[ServingRun] = []
    endpoint = await serve(platform, want(), timeout=5, on_applied=told.append)
    assert endpoint.identity.uid == told[0].uid == platform.standing["m"].uid
    assert endpoint.identity.owner == FIRST
    assert platform.standing["m"].previous is None


async def test_findings_refuse_before_anything_is_written() -> None:
    platform = MemoryPlatform(findings=("no such profile", "no such secret"))
    with pytest.raises(BadInput, match="2 problems"):
        await serve(platform, want(), timeout=5)
    assert platform.writes == []


async def test_a_failed_first_deployment_leaves_nothing() -> None:
    platform = MemoryPlatform(says=(STARTING, BROKEN))
    with pytest.raises(ServingFailed, match="image_not_found") as caught:
        await serve(platform, want(), timeout=5)
    assert caught.value.retryable is False
    assert platform.standing == {}


async def test_a_failed_update_puts_the_last_good_spec_and_its_owner_back() -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    await deployed(platform)
    with pytest.raises(ServingFailed):
        await serve(platform, want(NEW, SECOND), timeout=5)
    assert (platform.standing["m"].spec, platform.standing["m"].owner) == (OLD, FIRST)


async def test_the_error_carries_the_log_of_pods_that_the_rollback_takes_away() -> None:
    platform = MemoryPlatform(says=(STARTING, replace(BROKEN, log=("starting", "acme.Misaligned: tensor 7 is askew"))))
    with pytest.raises(ServingFailed) as caught:
        await serve(platform, want(), timeout=5)
    assert "  acme.Misaligned: tensor 7 is askew" in str(caught.value).splitlines()
    assert "removed" in caught.value.aftermath
    platform = MemoryPlatform(says=(replace(STARTING, log=("Loading weights: 12%",)),))
    with pytest.raises(WaitTimeout, match="Loading weights: 12%"):
        await serve(platform, want(), timeout=0.05)


def test_what_is_waited_for_is_logged_when_it_changes_and_not_at_every_line() -> None:
    """A vLLM without a way to the hub tried for 190 s, and nothing was said."""
    first, second = (replace(STARTING, detail=f"it says: {what}") for what in ("step 1", "Error retrieving file list"))
    none, long = timedelta(0), timedelta(seconds=30)
    assert _news(STARTING, None, none)
    assert not _news(STARTING, STARTING, long)
    assert _news(first, STARTING, none), "the first word of what it waits for"
    assert not _news(second, first, none)
    assert _news(second, first, long)
    assert not _news(second, second, long)
    assert _news(READY, second, none)


async def test_keep_leaves_the_failed_change_for_inspection() -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    await deployed(platform)
    with pytest.raises(ServingFailed):
        await serve(platform, want(NEW, SECOND), timeout=5, on_failure="keep")
    assert platform.standing["m"].spec == NEW


async def test_a_timeout_tells_the_last_verdict_and_takes_the_change_back() -> None:
    platform = MemoryPlatform(says=(STARTING,))
    with pytest.raises(WaitTimeout, match="it is starting"):
        await serve(platform, want(), timeout=0.05)
    assert platform.standing == {}


async def test_a_killed_wait_takes_the_change_back() -> None:
    platform = MemoryPlatform(says=(STARTING,))
    task = asyncio.create_task(serve(platform, want(), timeout=60))
    await platform.written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert platform.standing == {}


async def test_who_is_superseded_leaves_the_later_one_alone() -> None:
    platform = MemoryPlatform(says=(REPLACED,))
    later = ServingRun(kind="kubeai-text", runtime="memory", name="m", uid="uid-0", owner=SECOND, spec=NEW)
    with pytest.raises(Superseded, match="deployed by d / 2 / serve; it is left alone"):
        await serve(platform, want(), timeout=5, on_applied=lambda _: platform.standing.update(m=later))
    assert platform.standing == {"m": later}


@pytest.mark.parametrize("update", [False, True])
async def test_who_is_superseded_by_no_other_deployment_takes_back_what_is_its_own(update: bool) -> None:
    """Admission or a person rewrote the object: the record is still ours, and so are its pods."""
    platform = MemoryPlatform(says=(REPLACED,))
    if update:
        await deployed(platform)
    with pytest.raises(Superseded, match="was put back" if update else "was removed"):
        await serve(platform, want(NEW, SECOND), timeout=5)
    assert [r.spec for r in platform.standing.values()] == ([OLD] if update else [])


async def test_a_failure_after_somebody_elses_change_touches_nothing() -> None:
    platform = MemoryPlatform(says=(STARTING,))
    task = asyncio.create_task(serve(platform, want(), timeout=0.2))
    await platform.written.wait()
    platform.standing["m"] = theirs = replace(platform.standing["m"], owner=SECOND, spec=NEW)
    with pytest.raises(WaitTimeout):
        await task
    assert platform.standing["m"] == theirs


async def test_a_good_run_outlives_a_redeployment_that_could_not_be_proven() -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    await deployed(platform)
    with pytest.raises(ServingFailed):
        await serve(platform, want(OLD, SECOND), timeout=5)
    assert (platform.standing["m"].spec, platform.standing["m"].owner) == (OLD, FIRST)


async def test_a_change_keeps_the_owner_and_survives_a_conflict() -> None:
    platform = MemoryPlatform(conflicts=0)
    run = await deployed(platform)
    platform.conflicts = 2
    endpoint = await change(platform, Target(name="m"), lambda spec, stopped: (NEW, stopped), timeout=5)
    assert (platform.standing["m"].spec, platform.standing["m"].owner) == (NEW, run.owner)
    assert endpoint.identity.spec_hash == NEW.hash


async def test_a_failed_change_is_taken_back() -> None:
    platform = MemoryPlatform(says=(BROKEN,))
    await deployed(platform)
    with pytest.raises(ServingFailed):
        await change(platform, Target(name="m"), lambda spec, stopped: (NEW, True), timeout=5)
    assert (platform.standing["m"].spec, platform.standing["m"].stopped) == (OLD, False)


async def test_teardown_is_idempotent() -> None:
    platform = MemoryPlatform()
    await deployed(platform)
    assert await teardown(platform, Target(name="m"), timeout=5) is True
    assert await teardown(platform, Target(name="m"), timeout=5) is False
    assert platform.writes == ["delete m", "see off m"], "its object may be gone before its processes are"


async def test_an_older_run_tears_down_and_changes_nothing_of_a_newer_one() -> None:
    platform = MemoryPlatform()
    older = target_of(await serve(platform, want(OLD, FIRST), timeout=5))
    await serve(platform, want(NEW, SECOND), timeout=5)
    platform.writes.clear()
    assert await teardown(platform, older, timeout=5) is False
    with pytest.raises(Superseded, match="d / 2 / serve"):
        await change(platform, older, lambda spec, stopped: (OLD, stopped), timeout=5)
    assert platform.writes == []


async def test_a_run_made_anew_under_the_name_is_not_ours_to_tear_down() -> None:
    platform = MemoryPlatform()
    older = target_of(await serve(platform, want(), timeout=5))
    await teardown(platform, older, timeout=5)
    await deployed(platform)
    assert await teardown(platform, replace(older, uid="long-gone"), timeout=5) is False
    with pytest.raises(Superseded):
        await require(platform, replace(older, uid="long-gone"))


async def test_a_name_that_nobody_serves_is_bad_input_for_a_change() -> None:
    with pytest.raises(BadInput, match="does not exist on the memory platform"):
        await change(MemoryPlatform(), Target(name="m"), lambda spec, stopped: (spec, stopped), timeout=5)
