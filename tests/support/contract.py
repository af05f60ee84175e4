"""What every platform promises, over :class:`~airflow_provider_llmserve.platforms.base.Platform` alone: one suite that all
of them pass.

A platform's test makes a class of :class:`Contract` with a fixture ``stage``. What a platform promises beyond it (adoption, pods
that do not end, a gateway) is in tests of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import Conflict, ServingFailed, Superseded, WaitTimeout
from airflow_provider_llmserve.names import KINDS
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Platform, ServingRun, Target, Want
from airflow_provider_llmserve.platforms.lifecycle import (
    change,
    confirm,
    expired,
    serve,
    target_of,
    teardown,
    wait_until_proven,
)
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.runtimes.record import Previous
from airflow_provider_llmserve.specs import ServeSpec

ONE = Owner(instance="i", dag_id="d", run_id="r1", task_id="t", try_number=1, ti_id="one")
TWO = Owner(instance="i", dag_id="d", run_id="r2", task_id="t", try_number=1, ti_id="two")
THREE = Owner(instance="i", dag_id="d", run_id="r3", task_id="t", try_number=1, ti_id="three")


@dataclass
class Stage:
    """What a platform gives to be held to the contract: an empty place of its own, and what can be served there."""

    open: Callable[[], Platform]
    """A platform that works in this place; each call as from another process."""
    good: ServeSpec
    """One that comes up."""
    changed: ServeSpec
    """Another one that comes up."""
    failing: ServeSpec
    """One that a preflight lets pass and that does not come up."""
    patience: float = 60.0
    """Seconds that a failing one is waited for where its platform cannot know that it fails."""
    name: str = "served"
    writes: Callable[[], Awaitable[Any]] | None = None
    """Whatever every write of the platform's moves. None: the versions of its runs are that."""

    def want(self, spec: ServeSpec | None = None, owner: Owner = ONE, **more: Any) -> Want:
        return replace(Want(spec=spec or self.good, name=self.name, owner=owner), **more)

    @property
    def target(self) -> Target:
        return Target(self.name)

    async def written(self) -> Any:
        """Equal at two moments between which nothing was written."""
        if self.writes is not None:
            return await self.writes()
        async with self.open() as platform:
            return [(r.uid, r.version, r.owner, r.spec, r.proven, r.previous) for r in await platform.runs()]

    async def stands(self) -> ServingRun:
        """What stands there, in the eyes of another process."""
        async with self.open() as platform:
            run = await platform.find(self.target)
        assert run is not None, "nothing stands there"
        return run

    async def served(self, platform: Platform, spec: ServeSpec | None = None, owner: Owner = ONE, **more: Any) -> Endpoint:
        return await serve(platform, self.want(spec, owner, **more), timeout=120)

    async def applied(self, platform: Platform, spec: ServeSpec | None = None, owner: Owner = ONE, **more: Any) -> ServingRun:
        """Written over what stands, and not waited for."""
        return await platform.apply(self.want(spec, owner, **more), replacing=await platform.find(self.target))

    async def fails(self, platform: Platform, owner: Owner = ONE) -> None:
        with pytest.raises((ServingFailed, WaitTimeout)):
            await serve(platform, self.want(self.failing, owner), timeout=self.patience)


async def seen(platform: Platform, run: ServingRun, state: State) -> list[Verdict]:
    """The verdicts about the run up to the first one of ``state``."""
    found: list[Verdict] = []

    async def look() -> None:
        async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
            async for verdict in verdicts:
                found.append(verdict)
                if verdict.state is state:
                    return
        raise AssertionError("the verdicts ended")

    try:
        await asyncio.wait_for(look(), 60)
    except asyncio.TimeoutError:
        raise AssertionError(f"never {state.value}; what came: {[v.text() for v in found]}") from None
    return found


def facts(run: ServingRun) -> tuple[Any, ...]:
    """What a run is, without what a platform's own controllers may move."""
    return (run.kind, run.runtime, run.name, run.uid, run.owner, run.spec, run.stopped, run.proven, run.previous, run.ttl)


class Contract:
    """The suite. Each test has a stage, and so a place, of its own."""

    @pytest.fixture
    async def platform(self, stage: Stage) -> AsyncIterator[Platform]:
        async with stage.open() as platform:
            yield platform

    async def test_an_empty_place(self, stage: Stage, platform: Platform) -> None:
        assert await platform.find(stage.target) is None
        assert await platform.runs() == []
        await platform.see_off(stage.target, timeout=30)
        assert await teardown(platform, stage.target, timeout=30) is False

    async def test_the_place_is_one_and_the_same_for_all_who_work_there(self, stage: Stage, platform: Platform) -> None:
        here = await platform.place()
        assert here.platform == platform.name
        async with stage.open() as another:
            assert await another.place() == await platform.place() == here

    async def test_a_preflight_of_what_comes_up_finds_nothing_and_writes_nothing(self, stage: Stage, platform: Platform) -> None:
        before = await stage.written()
        assert await platform.preflight(stage.want()) == []
        assert await platform.preflight(stage.want(stage.failing)) == [], "else the failure would not be the platform's"
        assert await stage.written() == before
        assert await platform.runs() == []

    async def test_what_was_served_is_found_as_its_endpoint_says(self, stage: Stage, platform: Platform) -> None:
        told: list[ServingRun] = []
        endpoint = await serve(platform, stage.want(), timeout=120, on_applied=told.append)
        i, run = endpoint.identity, await stage.stands()
        assert i.place == await platform.place()
        assert (i.kind, i.runtime, i.name, i.uid, i.owner) == (run.kind, run.runtime, run.name, run.uid, run.owner)
        assert (run.kind, run.name, run.owner, run.spec) == (stage.good.kind, stage.name, ONE, stage.good)
        assert (i.spec_hash, run.stopped, run.proven, run.previous) == (stage.good.hash, False, True, None)
        assert [r.uid for r in told] == [run.uid]
        assert (await platform.endpoint(run)).identity == i
        assert Endpoint.of(endpoint.to_xcom()) == endpoint
        await confirm(platform, target_of(endpoint))

    async def test_it_is_found_by_its_name_and_its_kind_and_by_no_other(self, stage: Stage, platform: Platform) -> None:
        run = await stage.applied(platform)
        for kind in ("", *KINDS):
            found = await platform.find(Target(stage.name, kind=kind))
            assert (found.uid if found else None) == (run.uid if kind in ("", run.kind) else None)
        assert await platform.find(Target("another")) is None

    async def test_the_same_want_twice_writes_nothing(self, stage: Stage, platform: Platform) -> None:
        first = await stage.served(platform, ttl=3600.0)
        told: list[ServingRun] = []
        before, run = await stage.written(), await stage.stands()
        again = await serve(platform, stage.want(ttl=3600.0), timeout=120, on_applied=told.append)
        assert await stage.written() == before
        assert again == first
        assert [facts(r) for r in (*told, await stage.stands())] == [facts(run)] * 2
        assert (await stage.stands()).expires == run.expires

    async def test_another_owner_is_written_and_keeps_what_stood_for_a_rollback(self, stage: Stage, platform: Platform) -> None:
        uid = (await stage.served(platform)).identity.uid
        run = await stage.applied(platform, owner=TWO)
        assert (run.uid, run.owner, run.spec) == (uid, TWO, stage.good)
        assert run.previous == Previous(stage.good, False, ONE)

    async def test_an_update_is_of_the_same_object_and_supersedes_who_deployed_it_before(
        self, stage: Stage, platform: Platform
    ) -> None:
        older, before = await stage.served(platform), await stage.stands()
        newer, run = await stage.served(platform, stage.changed, TWO), await stage.stands()
        assert newer.identity.uid == older.identity.uid == run.uid
        assert (run.owner, run.spec, run.proven, run.previous) == (TWO, stage.changed, True, None)
        assert newer.identity.spec_hash == stage.changed.hash
        with pytest.raises(Superseded, match="d / r2 / t"):
            await confirm(platform, target_of(older))
        with pytest.raises(Superseded, match="d / r2 / t"):
            await wait_until_proven(platform, before, timeout=60)
        assert await teardown(platform, target_of(older), timeout=60) is False
        assert facts(await stage.stands()) == facts(run), "an older run's teardown leaves a newer run's deployment alone"

    async def test_the_verdicts_begin_at_once_lead_to_ready_and_go_on(self, stage: Stage, platform: Platform) -> None:
        run = await stage.applied(platform)
        assert (run.proven, run.previous) == (False, None)
        said = await seen(platform, run, State.READY)
        assert said[-1].reason == "proven"
        assert not {v.state for v in said} & {State.GONE, State.SUPERSEDED, State.FAILED}
        async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
            assert (await asyncio.wait_for(anext(verdicts), 60)).state is State.READY, "whoever comes later is told at once"
            await stage.applied(platform, stage.changed, TWO)
            while (later := await asyncio.wait_for(anext(verdicts), 60)).state is not State.SUPERSEDED:
                assert later.state is State.READY, later.text()

    async def test_who_watches_what_is_torn_down_is_told(self, stage: Stage, platform: Platform) -> None:
        run = await stage.applied(platform)
        await platform.delete(run, timeout=60)
        said = await seen(platform, run, State.GONE)
        assert not {v.state for v in said} & {State.READY, State.SUPERSEDED, State.SCALED_TO_ZERO}

    async def test_a_proof_is_recorded_once_and_of_the_deployment_it_is_of(self, stage: Stage, platform: Platform) -> None:
        await stage.served(platform)
        proven, before = await stage.stands(), await stage.written()
        await platform.settle(proven)
        assert await stage.written() == before, "what is recorded is not written again"
        await stage.applied(platform, stage.failing, TWO)
        await platform.settle(proven)
        run = await stage.stands()
        assert (run.proven, run.previous) == (False, Previous(stage.good, False, ONE)), "an older proof is none of the newer one"
        await platform.settle(run)
        run = await stage.stands()
        assert (run.spec, run.proven, run.previous) == (stage.failing, True, None)

    async def test_of_what_was_never_proven_the_last_proven_one_is_kept(self, stage: Stage, platform: Platform) -> None:
        await stage.served(platform, ttl=3600.0)
        await stage.applied(platform, stage.failing, TWO)
        run = await stage.applied(platform, stage.failing, THREE)
        assert run.previous == Previous(stage.good, False, ONE, ttl=3600.0)

    async def test_a_first_deployment_that_fails_leaves_nothing(self, stage: Stage, platform: Platform) -> None:
        await stage.fails(platform)
        assert await platform.find(stage.target) is None
        assert await platform.runs() == []

    async def test_an_update_that_fails_puts_back_what_stood(self, stage: Stage, platform: Platform) -> None:
        uid = (await stage.served(platform, ttl=3600.0)).identity.uid
        before = facts(await stage.stands())
        await stage.fails(platform, TWO)
        run = await stage.stands()
        assert run.uid == uid
        assert facts(run) == before, "as it was: spec, owner, time to live, proven"
        await wait_until_proven(platform, run, timeout=120)

    async def test_a_deployment_that_nobody_hears_of_is_taken_back(self, stage: Stage, platform: Platform) -> None:
        def away(run: ServingRun) -> None:
            raise OSError(f"{run.name} could not be remembered")

        with pytest.raises(OSError, match=f"{stage.name} could not be remembered"):
            await serve(platform, stage.want(), timeout=120, on_applied=away)
        assert await platform.find(stage.target) is None

    async def test_who_comes_second_conflicts(self, stage: Stage, platform: Platform) -> None:
        stale = await stage.applied(platform)
        await stage.applied(platform, stage.changed, TWO)
        run = facts(await stage.stands())
        with pytest.raises(Conflict):
            await platform.apply(stage.want(owner=THREE), replacing=stale)
        assert facts(await stage.stands()) == run

    async def test_who_saw_nothing_conflicts_with_who_was_faster(self, stage: Stage, platform: Platform) -> None:
        await stage.applied(platform)
        run = facts(await stage.stands())
        with pytest.raises(Conflict):
            await platform.apply(stage.want(stage.changed, TWO), replacing=None)
        assert facts(await stage.stands()) == run
        again = await platform.apply(stage.want(), replacing=None)
        assert facts(again) == run, "who wrote this very want finds it done"

    async def test_what_is_gone_meanwhile_is_a_conflict(self, stage: Stage, platform: Platform) -> None:
        gone = await stage.applied(platform)
        await platform.delete(gone, timeout=60)
        with pytest.raises(Conflict):
            await platform.apply(stage.want(stage.changed), replacing=gone)
        assert await platform.find(stage.target) is None

    async def test_what_was_deployed_again_since_the_look_is_not_deleted(self, stage: Stage, platform: Platform) -> None:
        stale = await stage.applied(platform)
        await stage.applied(platform, owner=TWO)
        run = facts(await stage.stands())
        with pytest.raises(Superseded):
            await platform.delete(stale, timeout=60)
        assert facts(await stage.stands()) == run
        await wait_until_proven(platform, await stage.stands(), timeout=120)

    async def test_what_was_torn_down_is_gone_and_stays_gone_when_asked_again(self, stage: Stage, platform: Platform) -> None:
        target = target_of(await stage.served(platform))
        run = await stage.stands()
        assert await teardown(platform, target, timeout=60) is True
        assert await platform.find(stage.target) is None
        assert await platform.runs() == []
        await platform.see_off(target, timeout=60)
        await platform.delete(run, timeout=60)
        assert await teardown(platform, target, timeout=60) is False
        anew = await stage.applied(platform)
        assert anew.uid != target.uid
        await platform.delete(run, timeout=60)
        assert (await stage.stands()).uid == anew.uid, "one made anew under its name is another one"

    async def test_all_runs_are_listed_with_owner_and_time_to_live(self, stage: Stage, platform: Platform) -> None:
        kept = await stage.applied(platform)
        passing = await platform.apply(replace(stage.want(owner=TWO, ttl=3600.0), name="passing"), replacing=None)
        listed = {run.name: run for run in await platform.runs()}
        assert {name: facts(run)[:6] for name, run in listed.items()} == {r.name: facts(r)[:6] for r in (kept, passing)}
        assert (listed[stage.name].ttl, listed[stage.name].expires) == (None, None)
        assert listed["passing"].ttl == 3600.0
        at = listed["passing"].expires
        assert at is not None
        assert [r.name for r in await expired(platform, instance="i", now=at)] == ["passing"]
        assert await expired(platform, instance="i", now=at - timedelta(seconds=1)) == []

    async def test_stopped_and_resumed(self, stage: Stage, platform: Platform) -> None:
        target = target_of(await stage.served(platform, ttl=3600.0))
        await change(platform, target, lambda spec, _: (spec, True), timeout=120)
        run = await stage.stands()
        assert facts(run) == (*facts(run)[:3], target.uid, ONE, stage.good, True, True, None, 3600.0)
        assert (await seen(platform, run, State.SCALED_TO_ZERO))[-1].reason == "stopped"
        await change(platform, target, lambda spec, _: (spec, False), timeout=120)
        assert (await stage.stands()).stopped is False
        await confirm(platform, target)
