"""Serve, change and tear down, on any platform: what the operators call.

Everything is one async function over :class:`Platform`; nothing here knows whether it runs in a worker or a triggerer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import (
    AccessDenied,
    BadInput,
    Conflict,
    Elsewhere,
    LLMServeError,
    NotOurs,
    ServingFailed,
    Superseded,
    WaitTimeout,
)
from airflow_provider_llmserve.names import name_finding
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Platform, ServingRun, Target, Want
from airflow_provider_llmserve.readiness.state import ReasonClass, State, Verdict
from airflow_provider_llmserve.specs import ServeSpec

log = logging.getLogger(__name__)

OnFailure = Literal["rollback", "keep"]
OnApplied = Callable[[ServingRun], None]

KILL_GRACE = 3.0
"""Seconds that taking back may last in a killed task: five come before SIGKILL (task-sdk supervisor.kill)."""
UNDO_TIMEOUT = 120.0
"""Seconds that the removal of a failed first deployment is waited for."""


async def serve(
    platform: Platform,
    want: Want,
    *,
    timeout: float,
    wait: bool = True,
    on_failure: OnFailure = "rollback",
    on_applied: OnApplied = lambda _: None,
) -> Endpoint:
    """Deploy or update, and return when it is proven (``wait``) or written.

    All or nothing, from the first object that is written on: where a first deployment fails nothing stays, where an update fails
    the last good spec is put back, and an adopted object is given back as it was (``on_failure="keep"`` leaves what was written,
    for inspection). ``timeout`` is in seconds. ``on_applied`` is told of the run before any wait; that it fails is a failure too.
    """
    _refuse(want, [f for f in [name_finding(want.name)] if f])
    try:
        standing = await platform.find(Target(name=want.name, kind=want.spec.kind))
    except AccessDenied:
        _refuse(want, await platform.preflight(want))  # all that is missing at once, not one right after the other
        raise
    refuse_taking(standing, want)
    _refuse(want, await platform.preflight(want))
    return await _carry_out(platform, want, standing, timeout=timeout, wait=wait, on_failure=on_failure, on_applied=on_applied)


async def change(
    platform: Platform,
    target: Target,
    edit: Callable[[ServeSpec, bool], tuple[ServeSpec, bool]],
    *,
    timeout: float,
    wait: bool = True,
    on_failure: OnFailure = "rollback",
) -> Endpoint:
    """Change a standing run: ``edit`` maps its (spec, stopped) to the new ones, and is called again after a conflict.

    The owner stays the one who deployed it, so that its teardown still knows it. Returns the endpoint as it is then; whoever was
    given the endpoint before holds one of a spec that stands no more.
    """
    for attempt in range(5):
        standing = await require(platform, target)
        if standing.spec is None or standing.owner is None:
            raise NotOurs(f"{standing.kind} {standing.name} was not deployed by this package; deploy it with adopt=True first")
        spec, stopped = edit(standing.spec, standing.stopped)
        want = Want(spec=spec, name=standing.name, owner=standing.owner, stopped=stopped, ttl=standing.ttl)
        _refuse(want, await platform.preflight(want))
        try:
            return await _carry_out(platform, want, standing, timeout=timeout, wait=wait, on_failure=on_failure)
        except Conflict:
            if attempt == 4:
                raise
    raise AssertionError("unreachable")


async def prove(platform: Platform, run: ServingRun, *, timeout: float, accept_zero: bool = True) -> Verdict:
    """:func:`wait_until_proven`, and record what was proven: what a later update that fails puts back."""
    verdict = await wait_until_proven(platform, run, timeout=timeout, accept_zero=accept_zero)
    if verdict.state is State.READY or run.stopped:  # a model at zero has answered nothing
        await platform.settle(run)
    return verdict


async def wait_until_proven(platform: Platform, run: ServingRun, *, timeout: float, accept_zero: bool = True) -> Verdict:
    """Wait for the verdict on this very run.

    Returns the assessment when it is Ready (or scaled to zero on purpose, with ``accept_zero``). Raises :class:`Superseded`,
    :class:`ServingFailed` as soon as it is impossible, or :class:`WaitTimeout` after ``timeout`` seconds with the last verdict.
    """
    deadline = time.monotonic() + timeout
    last: Verdict | None = None
    async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
        while True:
            # Not asyncio.wait_for: up to Python 3.11 it can swallow a cancellation, and a kill would be waited out.
            step = asyncio.ensure_future(anext(verdicts))
            try:
                await asyncio.wait({step}, timeout=max(deadline - time.monotonic(), 0))
                if not step.done():
                    raise _timed_out(run, timeout, last)
                verdict = step.result()
            finally:
                await _ended(step)
            if last is None or (verdict.state, verdict.reason, verdict.summary) != (last.state, last.reason, last.summary):
                log.info("%s %s: %s", run.kind, run.name, verdict.text())
            last = verdict
            at_zero = verdict.state is State.SCALED_TO_ZERO and verdict.reason_class in (ReasonClass.STOPPED, ReasonClass.DONE)
            if verdict.state is State.READY or (at_zero and accept_zero):
                return verdict
            if verdict.state is State.SUPERSEDED:
                raise Superseded(f"{run.kind} {run.name}: {verdict.text()}")
            if verdict.reason_class in (ReasonClass.IMPOSSIBLE, ReasonClass.STOPPED):
                raise ServingFailed(f"{run.kind} {run.name} cannot become ready: {verdict.text()}", verdict)


async def require(platform: Platform, target: Target) -> ServingRun:
    """The standing run that ``target`` names. Raises where it lives elsewhere, where there is none, or another one under its name."""
    await refuse_elsewhere(platform, target)
    standing = await platform.find(target)
    if standing is None:
        raise BadInput(f"{target.kind or 'serving run'} {target.name}", f"does not exist on the {platform.name} platform")
    if target.uid and standing.uid != target.uid:
        raise Superseded(
            f"{standing.kind} {standing.name} was deleted and made anew by {_who(standing)} since this endpoint was returned"
        )
    if target.owner is not None and standing.owner is not None and standing.owner.key != target.owner.key:
        raise Superseded(
            f"{standing.kind} {standing.name} was deployed anew by {_who(standing)} since this endpoint was returned"
        )
    return standing


async def confirm(platform: Platform, target: Target) -> None:
    """Whether the endpoint still names what stands: uid, owner and spec. Who uses an endpoint asks before the first request and
    after the last, or it may report of another model. Raises like :func:`require`, and :class:`Superseded` for another spec."""
    standing = await require(platform, target)
    if target.spec_hash and (standing.spec is None or standing.spec.hash != target.spec_hash):
        raise Superseded(
            f"{standing.kind} {standing.name} serves another spec than this endpoint names: it was changed since. "
            "Take the endpoint that the later task (scale, attach, detach, serve) returned"
        )


async def teardown(platform: Platform, target: Target, *, timeout: float, force: bool = False) -> bool:
    """Delete what the endpoint names, and wait until it is gone. True where something was deleted.

    Leaves alone, and says so: what is gone already, what a newer run deployed under the same name. Raises :class:`Elsewhere` where
    the connection leads to another place, :class:`NotOurs` for an object that this package did not make, :class:`StillThere` where
    it does not go away in ``timeout`` seconds.
    """
    await refuse_elsewhere(platform, target)
    standing = await platform.find(target)
    if standing is None:
        await platform.see_off(target, timeout=timeout)
        log.info("%s %s is gone already", target.kind or "serving run", target.name)
        return False
    if target.uid and standing.uid != target.uid:
        log.warning("%s %s was made anew by %s; it is left alone", standing.kind, standing.name, _who(standing))
        return False
    if standing.owner is None:
        raise NotOurs(f"{standing.kind} {standing.name} was not made by this package; it is left alone")
    if target.owner is not None and standing.owner.key != target.owner.key:
        log.warning("%s %s now belongs to a newer run, %s; it is left alone", standing.kind, standing.name, _who(standing))
        return False
    await platform.delete(standing, timeout=timeout, force=force)
    log.info("%s %s is gone, with all its processes", standing.kind, standing.name)
    return True


async def sweep(platform: Platform, *, instance: str, now: datetime, timeout: float, dry_run: bool) -> list[dict[str, Any]]:
    """Delete what has :func:`expired`, one after the other, each within ``timeout`` seconds; with ``dry_run`` only say so.

    What was deployed again since the look is left alone. Raises the first error after all were tried.
    """
    swept, faults = [], []
    for run in await expired(platform, instance=instance, now=now):
        said = {"kind": run.kind, "name": run.name, "expired": run.expires.isoformat() if run.expires else "", "deleted": False}
        swept.append(said)
        log.info("%s %s of %s expired at %s%s", run.kind, run.name, _who(run), said["expired"], "; left alone" if dry_run else "")
        if dry_run:
            continue
        try:
            await platform.delete(run, timeout=timeout)
            said["deleted"] = True
        except Superseded as e:
            log.warning("%s", e)
        except LLMServeError as e:
            log.error("%s", e)
            faults.append(e)
    if faults:
        raise faults[0]
    return swept


async def expired(platform: Platform, *, instance: str, now: datetime) -> list[ServingRun]:
    """The runs of this place that this Airflow instance deployed with a time to live that has passed, and nothing else."""
    return [
        run
        for run in await platform.runs()
        if run.owner is not None and run.owner.instance == instance and run.expires is not None and run.expires <= now
    ]


async def refuse_elsewhere(platform: Platform, target: Target) -> None:
    """Raises :class:`Elsewhere` where the endpoint lives in another place than the platform works in."""
    if target.place is None:
        return
    here = await platform.place()
    if target.place.differs(here):
        raise Elsewhere(
            f"{target.kind or 'serving run'} {target.name} lives in another place than the connection leads to. "
            f"It was deployed in: {target.place.in_words}. The connection leads to: {here.in_words}. Nothing was done; "
            "use the connection (and, on the local platform, the worker) that it was deployed with"
        )


def refuse_taking(standing: ServingRun | None, want: Want) -> None:
    """Raises :class:`NotOurs` where the name is taken by what ``want`` may not take over.

    A later run of the same DAG updates its own; what another DAG, another Airflow instance or somebody else made is taken over by
    ``adopt`` alone. Two tasks of one DAG run that want one name are a mistake: the later would take the earlier's model away.
    """
    if standing is None:
        return
    what = f"{standing.kind} {standing.name}"
    if standing.owner is None:
        if not want.adopt:
            raise NotOurs(
                f"{what} exists and was not made by this package; choose another name, or pass adopt=True to take it over"
            )
        return
    theirs, ours = standing.owner, want.owner
    if theirs.same_dag(ours):
        if theirs.run_id == ours.run_id and theirs.key != ours.key:
            raise NotOurs(
                f"{what} was deployed by another task of this DAG run, {theirs.in_words}: two tasks cannot serve under one name. "
                "Give each a model_name or name of its own, or change the standing one (attach, scale)"
            )
        return
    if not want.adopt:
        where = "" if theirs.instance == ours.instance else f" of another Airflow instance ({theirs.instance or 'without an id'})"
        raise NotOurs(
            f"{what} belongs to {theirs.in_words}{where}; choose another name, or pass adopt=True to take it over from there"
        )


async def _carry_out(
    platform: Platform,
    want: Want,
    standing: ServingRun | None,
    *,
    timeout: float,
    wait: bool,
    on_failure: OnFailure,
    on_applied: OnApplied = lambda _: None,
) -> Endpoint:
    """Write, and prove where that is asked; take all of it back where any of it fails."""
    try:
        run = await platform.apply(want, replacing=standing, on_applied=on_applied)
        _say_applied(run, standing)
        if wait:
            await prove(platform, run, timeout=timeout)
        return await platform.endpoint(run)
    except BaseException as fault:
        await take_back(platform, want, standing, fault, on_failure=on_failure, waited=wait)
        raise


async def take_back(
    platform: Platform,
    want: Want,
    before: ServingRun | None,
    fault: BaseException,
    *,
    on_failure: OnFailure = "rollback",
    waited: bool = True,
) -> None:
    """Leave nothing of a failed deployment, or put back what stood before, and say in ``fault`` what became of it.

    Only what is still this very want is touched: what somebody else has deployed meanwhile is left alone. What an earlier try of
    the same task left unproven counts as this deployment's own where the task waits for a proof (``waited``). Never hides ``fault``.
    """
    seconds = KILL_GRACE if isinstance(fault, asyncio.CancelledError) else UNDO_TIMEOUT
    try:
        outcome = await _taken_back(platform, want, before, on_failure=on_failure, waited=waited, seconds=seconds)
    except LLMServeError as second:
        outcome = f"It may still run: taking it back failed too: {second}"
    if not outcome:
        return
    if isinstance(fault, LLMServeError):
        fault.aftermath = outcome
    else:
        log.warning("%s %s: %s", want.spec.kind, want.name, outcome)


async def _taken_back(
    platform: Platform, want: Want, before: ServingRun | None, *, on_failure: OnFailure, waited: bool, seconds: float
) -> str:
    """What became of it, in words; empty where nothing had been written."""
    standing = await platform.find(Target(name=want.name, kind=want.spec.kind))
    if standing is None:
        return ""
    if (standing.owner, standing.spec, standing.stopped) != (want.owner, want.spec, want.stopped):
        if before is not None and (standing.uid, standing.owner, standing.spec) == (before.uid, before.owner, before.spec):
            return ""
        return f"What stands there now was deployed by {_who(standing)}; it is left alone."
    if on_failure == "keep":
        return 'It is left as it is (on_failure="keep"): its pods keep their resources until it is torn down.'
    good = standing.previous
    if before is not None and before.owner is None:
        await platform.give_back(standing, before)
        return "The adopted object was given back as it was before."
    if good is not None:
        again = Want(spec=good.spec, name=want.name, owner=good.owner, stopped=good.stopped, ttl=good.ttl)
        await platform.apply(again, replacing=standing)
        called = "the last good spec" if good.proven else "the previous spec, which was never proven,"
        return f"The change was taken back: {called} was put back."
    if standing.proven or not (before is None or (waited and _left_by_an_earlier_try(before, want.owner))):
        return "What stands there is what stood before; it is left alone."
    await platform.delete(standing, timeout=seconds)
    return "The failed deployment was removed; none of its pods is left."


def target_of(endpoint: Endpoint) -> Target:
    """The target that an endpoint's identity names."""
    i = endpoint.identity
    return Target(name=i.name, kind=i.kind, uid=i.uid, owner=i.owner, spec_hash=i.spec_hash, place=i.place)


async def _ended(step: asyncio.Future[Verdict]) -> None:
    """See the iteration's step to its end, so that its generator can be closed."""
    if not step.done():
        step.cancel()
        await asyncio.wait({step})


def _left_by_an_earlier_try(before: ServingRun, owner: Owner) -> bool:
    return before.owner is not None and before.owner != owner and before.owner.key == owner.key and before.spec is not None


def _refuse(want: Want, findings: list[str]) -> None:
    if findings:
        raise BadInput(f"{want.spec.kind} {want.name}", findings)


def _say_applied(run: ServingRun, standing: ServingRun | None) -> None:
    if standing is None:
        log.info("%s %s: created", run.kind, run.name)
    elif standing.version == run.version:
        log.info("%s %s: nothing changed", run.kind, run.name)
    else:
        log.info("%s %s: updated (was deployed by %s)", run.kind, run.name, _who(standing))


def _who(run: ServingRun) -> str:
    return (run.owner or Owner()).in_words


def _timed_out(run: ServingRun, timeout: float, last: Verdict | None) -> WaitTimeout:
    seen = last.text() if last else "nothing was seen of it"
    return WaitTimeout(f"{run.kind} {run.name} was not ready after {timeout:.0f} s; last seen: {seen}", last)
