"""Serve, change and tear down, on any platform: what the operators call.

Everything is one async function over :class:`Platform`; nothing here knows whether it runs in a worker or a triggerer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput, Conflict, LLMServeError, NotOurs, ServingFailed, Superseded, WaitTimeout
from airflow_provider_llmserve.platforms.base import Good, Platform, ServingRun, Target, Want
from airflow_provider_llmserve.readiness.state import Assessment, ReasonClass, State
from airflow_provider_llmserve.specs import ServeSpec

log = logging.getLogger(__name__)

OnFailure = Literal["rollback", "keep"]


async def serve(
    platform: Platform,
    want: Want,
    *,
    timeout: float,
    wait: bool = True,
    on_failure: OnFailure = "rollback",
    on_applied: Callable[[ServingRun], None] = lambda _: None,
) -> Endpoint:
    """Deploy or update, and return when it is proven (``wait``) or written.

    All or nothing: where a first deployment fails nothing stays, where an update fails the last good spec is put back
    (``on_failure="keep"`` leaves it for inspection; what was adopted is always left). ``timeout`` is in seconds. ``on_applied`` is told of the run before any wait.
    """
    findings = await platform.preflight(want)
    if findings:
        raise BadInput(f"{want.spec.kind} {want.name}", findings)
    standing = await platform.find(Target(name=want.name, kind=want.spec.kind))
    _refuse_foreign(standing, adopt=want.adopt)
    run = await platform.apply(want, replacing=standing)
    _say_applied(run, standing)
    on_applied(run)
    if standing is not None and standing.owner is None:
        on_failure = "keep"  # adopted: it was there before us, and its first spec is not known
    if wait:
        await _prove(platform, run, timeout=timeout, on_failure=on_failure)
    return await platform.endpoint(run)


async def wait_until_proven(platform: Platform, run: ServingRun, *, timeout: float, accept_zero: bool = True) -> Assessment:
    """Wait for the verdict on this very run.

    Returns the assessment when it is Ready (or scaled to zero on purpose, with ``accept_zero``). Raises :class:`Superseded`,
    :class:`ServingFailed` as soon as it is impossible, or :class:`WaitTimeout` after ``timeout`` seconds with the last verdict.
    """
    deadline = time.monotonic() + timeout
    last: Assessment | None = None
    async with aclosing(platform.assessments(run)) as verdicts:  # type: ignore[type-var]
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

    The owner stays the one who deployed it, so that its teardown still knows it.
    """
    for attempt in range(5):
        standing = await require(platform, target)
        if standing.spec is None or standing.owner is None:
            raise NotOurs(f"{standing.kind} {standing.name} was not deployed by this package; deploy it with adopt=True first")
        spec, stopped = edit(standing.spec, standing.stopped)
        want = Want(spec=spec, name=standing.name, owner=standing.owner, stopped=stopped)
        findings = await platform.preflight(want)
        if findings:
            raise BadInput(f"{want.spec.kind} {want.name}", findings)
        try:
            run = await platform.apply(want, replacing=standing)
            break
        except Conflict:
            if attempt == 4:
                raise
    if wait:
        await _prove(platform, run, timeout=timeout, on_failure=on_failure)
    return await platform.endpoint(run)


async def _prove(platform: Platform, run: ServingRun, *, timeout: float, on_failure: OnFailure) -> None:
    """Wait for the proof and record it; take the change back where none comes."""
    try:
        await wait_until_proven(platform, run, timeout=timeout)
    except BaseException as fault:
        await _undo(platform, run, fault, on_failure)
        raise
    await platform.settle(run)


async def require(platform: Platform, target: Target) -> ServingRun:
    """The standing run that ``target`` names. Raises where there is none, or another one under its name."""
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


async def teardown(platform: Platform, target: Target, *, timeout: float, force: bool = False) -> bool:
    """Delete what the endpoint names, and wait until it is gone. True where something was deleted.

    Leaves alone, and says so: what is gone already, what a newer run deployed under the same name. Raises :class:`NotOurs`
    for an object that this package did not make, :class:`StillThere` where it does not go away in ``timeout`` seconds.
    """
    standing = await platform.find(target)
    if standing is None:
        await platform.see_off(target, timeout=timeout)
        log.info("%s %s is gone already", target.kind or "serving run", target.name)
        return False
    if target.uid and standing.uid != target.uid:
        log.warning("%s %s was made anew by %s; it is left alone", standing.kind, standing.name, _who(standing))
        return False
    _refuse_foreign(standing, adopt=False)
    assert standing.owner is not None
    if target.owner is not None and standing.owner.key != target.owner.key:
        log.warning("%s %s now belongs to a newer run, %s; it is left alone", standing.kind, standing.name, _who(standing))
        return False
    await platform.delete(standing, timeout=timeout, force=force)
    log.info("%s %s is gone, with all its processes", standing.kind, standing.name)
    return True


async def _ended(step: asyncio.Future[Assessment]) -> None:
    """See the iteration's step to its end, so that its generator can be closed."""
    if not step.done():
        step.cancel()
        await asyncio.wait({step})


async def _undo(platform: Platform, run: ServingRun, fault: BaseException, on_failure: OnFailure) -> None:
    """Leave nothing of a failed deployment, or put the last good one back. Never hides ``fault``."""
    if on_failure == "keep" or isinstance(fault, Superseded):
        return
    try:
        standing = await platform.find(Target(name=run.name, kind=run.kind))
        if standing is None or standing.uid != run.uid or standing.owner != run.owner or standing.spec != run.spec:
            log.warning("%s %s was changed by somebody else meanwhile; it is left alone", run.kind, run.name)
        elif isinstance(run.previous, Good):
            good = run.previous
            await platform.apply(Want(spec=good.spec, name=run.name, owner=good.owner, stopped=good.stopped), replacing=standing)
            log.warning("%s %s: the last good spec was put back", run.kind, run.name)
        else:
            # A killed task has five seconds before SIGKILL (task-sdk supervisor.kill): ask for the deletion, do not see it through.
            await platform.delete(standing, timeout=3 if isinstance(fault, asyncio.CancelledError) else 120)
            log.warning("%s %s: the failed deployment was removed", run.kind, run.name)
    except LLMServeError as second:
        log.error("%s %s: cleaning up after the failure failed too: %s", run.kind, run.name, second)


def _refuse_foreign(standing: ServingRun | None, *, adopt: bool) -> None:
    if standing is not None and standing.owner is None and not adopt:
        raise NotOurs(
            f"{standing.kind} {standing.name} exists and was not made by this package; "
            "choose another name, or pass adopt=True to take it over"
        )


def _say_applied(run: ServingRun, standing: ServingRun | None) -> None:
    if standing is None:
        log.info("%s %s: created", run.kind, run.name)
    elif standing.version == run.version:
        log.info("%s %s: nothing changed", run.kind, run.name)
    else:
        log.info("%s %s: updated (was deployed by %s)", run.kind, run.name, _who(standing))


def _who(run: ServingRun) -> str:
    if run.owner is None or not run.owner.dag_id:
        return "somebody else"
    return f"{run.owner.dag_id} / {run.owner.run_id} / {run.owner.task_id}"


def _timed_out(run: ServingRun, timeout: float, last: Assessment | None) -> WaitTimeout:
    seen = last.text() if last else "nothing was seen of it"
    return WaitTimeout(f"{run.kind} {run.name} was not ready after {timeout:.0f} s; last seen: {seen}", last)


def target_of(endpoint: Endpoint) -> Target:
    """The target that an endpoint's identity names."""
    i = endpoint.identity
    return Target(name=i.name, kind=i.kind, uid=i.uid, owner=i.owner, spec_hash=i.spec_hash)
