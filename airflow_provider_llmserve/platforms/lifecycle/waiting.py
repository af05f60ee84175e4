"""Wait for the verdict on one serving run, and record what was proven."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from typing import Literal

from airflow_provider_llmserve.errors import PlatformError, ServingFailed, Superseded, WaitTimeout
from airflow_provider_llmserve.platforms.base import Platform, ServingRun
from airflow_provider_llmserve.readiness.state import Outcome, State, Verdict

log = logging.getLogger(__name__)

SAY_AGAIN = timedelta(seconds=30)
"""After which a verdict that says the same with another detail is logged again: what a server that starts waits for."""

AtZero = Literal["accept", "wake", "refuse"]
"""What a wait does with a model that is at zero by design: take it (nothing is proven), ask it once so that it starts, or
fail."""


def in_seconds(timeout: float) -> datetime:
    """The deadline ``timeout`` seconds from now: a moment that another process understands too."""
    return datetime.now(timezone.utc) + timedelta(seconds=timeout)


async def prove(platform: Platform, run: ServingRun, *, deadline: datetime, at_zero: AtZero = "accept") -> Verdict:
    """Wait for the verdict on this very run; writes nothing.

    Returns it when it is Ready, or at zero by design where ``at_zero`` accepts that (what was stopped is always meant to be
    there). Raises :class:`Superseded`, :class:`ServingFailed` as soon as it is impossible, or :class:`WaitTimeout` at
    ``deadline`` with the last verdict.
    """
    accept_zero, woken = at_zero == "accept" or run.stopped, False
    began = said_at = datetime.now(timezone.utc)
    last: Verdict | None = None
    said: Verdict | None = None
    async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
        while True:
            # Not asyncio.wait_for: up to Python 3.11 it can swallow a cancellation, and a kill would be waited out.
            step = asyncio.ensure_future(anext(verdicts))
            try:
                await asyncio.wait({step}, timeout=max((deadline - datetime.now(timezone.utc)).total_seconds(), 0))
                if not step.done():
                    raise _timed_out(run, deadline - began, last)
                verdict = step.result()
            finally:
                await _ended(step)
            if _news(verdict, said, datetime.now(timezone.utc) - said_at):
                log.info("%s %s: %s", run.kind, run.name, verdict.text())
                said, said_at = verdict, datetime.now(timezone.utc)
            last = verdict
            if verdict.at_zero and at_zero == "wake" and not accept_zero:
                woken = woken or await _woken(platform, run)
                continue
            woken = False  # an autoscaler that was about to scale down does so at once after the request (KubeAI v0.22.1)
            outcome = verdict.outcome(accept_zero=accept_zero)
            if outcome is Outcome.SUCCESS:
                return verdict
            if outcome is Outcome.SUPERSEDED:
                raise Superseded(f"{run.kind} {run.name}: {verdict.text()}")
            if outcome is Outcome.FAILED:
                refused = 'is at zero, and at_zero="refuse"' if verdict.at_zero else "cannot become ready"
                raise ServingFailed(f"{run.kind} {run.name} {refused}: {verdict.report()}", verdict)


def _news(verdict: Verdict, said: Verdict | None, ago: timedelta) -> bool:
    """Whether it is worth a line in the log after ``said``, which was logged ``ago``."""
    if said is None or (verdict.state, verdict.reason, verdict.summary) != (said.state, said.reason, said.summary):
        return True
    return bool(verdict.detail) and verdict.detail != said.detail and (not said.detail or ago >= SAY_AGAIN)


async def settle(platform: Platform, run: ServingRun, verdict: Verdict) -> None:
    """Record what was proven: what a later update that fails puts back. A model at zero has answered nothing, unless it was
    stopped."""
    if verdict.state is State.READY or run.stopped:
        await platform.settle(run)


async def wait_until_proven(platform: Platform, run: ServingRun, *, timeout: float, at_zero: AtZero = "accept") -> Verdict:
    """:func:`prove`, for ``timeout`` seconds from now."""
    return await prove(platform, run, deadline=in_seconds(timeout), at_zero=at_zero)


async def _woken(platform: Platform, run: ServingRun) -> bool:
    """Whether it was asked; a platform that is away for a moment is asked again at the next verdict."""
    try:
        await platform.wake(run)
    except PlatformError as e:
        log.warning("%s %s could not be woken yet: %s", run.kind, run.name, e)
        return False
    return True


async def _ended(step: asyncio.Future[Verdict]) -> None:
    """See the iteration's step to its end, so that its generator can be closed."""
    if not step.done():
        step.cancel()
        await asyncio.wait({step})


def _timed_out(run: ServingRun, waited: timedelta, last: Verdict | None) -> WaitTimeout:
    seen = last.report() if last else "nothing was seen of it"
    return WaitTimeout(f"{run.kind} {run.name} was not ready after {waited.total_seconds():.0f} s; last seen: {seen}", last)
