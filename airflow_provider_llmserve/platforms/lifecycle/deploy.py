"""Deploy, update and change, in steps that can each be run by themselves: look, write, prove, settle, and take back what failed.

A step needs the run that :func:`write` returned and an absolute deadline, nothing of the process that ran the one before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import AccessDenied, BadInput, Conflict, NotOurs
from airflow_provider_llmserve.names import name_finding
from airflow_provider_llmserve.platforms.base import Platform, ServingRun, Target, Want
from airflow_provider_llmserve.platforms.deadline import until
from airflow_provider_llmserve.platforms.lifecycle.smoke import ask_smoke, refuse_smoke
from airflow_provider_llmserve.platforms.lifecycle.standing import answers_at, owner_of, refuse_taking, require
from airflow_provider_llmserve.platforms.lifecycle.undo import OnFailure, take_back
from airflow_provider_llmserve.platforms.lifecycle.waiting import AtZero, in_seconds, prove, settle
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.specs import ServeSpec
from airflow_provider_llmserve.specs.smoke import Smoke

log = logging.getLogger(__name__)

OnApplied = Callable[[ServingRun], None]


async def serve(
    platform: Platform,
    want: Want,
    *,
    timeout: float,
    wait: bool = True,
    on_failure: OnFailure = "rollback",
    on_applied: OnApplied = lambda _: None,
    at_zero: AtZero = "accept",
    smoke: Sequence[Smoke] = (),
) -> Endpoint:
    """Deploy or update, and return when it is proven (``wait``) or written; ``smoke`` are the answers that it must give then.

    All or nothing, from the first object that is written on: where a first deployment fails nothing stays, where an update fails
    the last good spec is put back, and an adopted object is given back as it was (``on_failure="keep"`` leaves what was written,
    for inspection). ``timeout`` is in seconds, for all but the taking back. ``on_applied`` is told of the run before any wait;
    that it fails is a failure too.
    """
    refuse_smoke(want.spec, smoke, wait=wait)
    deadline = in_seconds(timeout)
    with until(deadline):
        standing = await look(platform, want)
        return await _carry_out(
            platform,
            want,
            standing,
            deadline=deadline if wait else None,
            at_zero=at_zero,
            on_failure=on_failure,
            on_applied=on_applied,
            smoke=smoke,
        )


async def change(
    platform: Platform,
    target: Target,
    edit: Callable[[ServeSpec, bool], tuple[ServeSpec, bool]],
    *,
    timeout: float,
    wait: bool = True,
    on_failure: OnFailure = "rollback",
    at_zero: AtZero = "accept",
) -> Endpoint:
    """Change a standing run: ``edit`` maps its (spec, stopped) to the new ones, and is called again after a conflict.

    The owner stays the one who deployed it, so that its teardown still knows it. Returns the endpoint as it is then; whoever was
    given the endpoint before holds one of a spec that stands no more.
    """
    deadline = in_seconds(timeout)
    with until(deadline):
        for attempt in range(5):
            standing = await require(platform, target)
            if standing.spec is None or standing.owner is None:
                raise NotOurs(
                    f"{standing.kind} {standing.name} was not deployed by this package; deploy it with adopt=True first"
                )
            spec, stopped = edit(standing.spec, standing.stopped)
            want = Want(spec=spec, name=standing.name, owner=standing.owner, stopped=stopped, ttl=standing.ttl)
            _refuse(want, await platform.preflight(want))
            proof = deadline if wait else None
            try:
                return await _carry_out(platform, want, standing, deadline=proof, at_zero=at_zero, on_failure=on_failure)
            except Conflict:
                if attempt == 4:
                    raise
    raise AssertionError("unreachable")


async def look(platform: Platform, want: Want) -> ServingRun | None:
    """What stands under the name of ``want``, None where nothing does. Writes nothing.

    Raises :class:`NotOurs` where ``want`` may not take it over, :class:`BadInput` with everything that would make it fail.
    """
    _refuse(want, [f for f in [name_finding(want.name)] if f])
    try:
        standing = await platform.find(Target(name=want.name, kind=want.spec.kind))
    except AccessDenied:
        _refuse(want, await platform.preflight(want))  # all that is missing at once, not one right after the other
        raise
    refuse_taking(standing, want)
    _refuse(want, await platform.preflight(want))
    return standing


async def write(
    platform: Platform, want: Want, standing: ServingRun | None, *, on_applied: OnApplied = lambda _: None
) -> ServingRun:
    """Make it so. Raises :class:`Conflict` where something else stands there by now than :func:`look` saw."""
    run = await platform.apply(want, replacing=standing, on_applied=on_applied)
    if standing is None:
        log.info("%s %s: created", run.kind, run.name)
    elif standing.version == run.version:
        log.info("%s %s: nothing changed", run.kind, run.name)
    else:
        log.info("%s %s: updated (was deployed by %s)", run.kind, run.name, owner_of(standing))
    return run


async def _carry_out(
    platform: Platform,
    want: Want,
    standing: ServingRun | None,
    *,
    deadline: datetime | None,
    at_zero: AtZero,
    on_failure: OnFailure,
    on_applied: OnApplied = lambda _: None,
    smoke: Sequence[Smoke] = (),
) -> Endpoint:
    """The steps one after the other, those of a proof where there is a deadline; all is taken back where one fails."""
    try:
        run = await write(platform, want, standing, on_applied=on_applied)
        verdict = None
        if deadline is not None:
            verdict = await prove(platform, run, deadline=deadline, at_zero=at_zero)
            if verdict.state is State.READY:
                await ask_smoke(platform, run, smoke, deadline=deadline)
            await settle(platform, run, verdict)
        return await answers_at(platform, run, verdict)
    except BaseException as fault:
        await take_back(platform, want, standing, fault, on_failure=on_failure, waited=deadline is not None)
        raise


def _refuse(want: Want, findings: list[str]) -> None:
    if findings:
        raise BadInput(f"{want.spec.kind} {want.name}", findings)
