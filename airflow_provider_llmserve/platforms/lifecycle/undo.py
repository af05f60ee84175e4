"""Leave nothing of a deployment that failed, or put back what stood before."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from airflow_provider_llmserve.errors import LLMServeError
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Platform, ServingRun, Target, Want
from airflow_provider_llmserve.platforms.deadline import until
from airflow_provider_llmserve.platforms.lifecycle.standing import owner_of
from airflow_provider_llmserve.platforms.lifecycle.waiting import in_seconds

log = logging.getLogger(__name__)

OnFailure = Literal["rollback", "keep"]
"""What becomes of a failed change: taken back, or left for inspection."""

KILL_GRACE = 3.0
"""Seconds that taking back may last in a killed task: five come before SIGKILL (task-sdk supervisor.kill)."""
UNDO_TIMEOUT = 120.0
"""Seconds that taking back may last otherwise, the removal of a failed first deployment with its pods among it."""


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
    the same task left unproven counts as this deployment's own where the task waits for a proof (``waited``). Never hides
    ``fault``.
    """
    seconds = KILL_GRACE if isinstance(fault, asyncio.CancelledError) else UNDO_TIMEOUT
    try:
        with until(in_seconds(seconds)):  # its own: the caller's may have passed
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
        return f"What stands there now was deployed by {owner_of(standing)}; it is left alone."
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


def _left_by_an_earlier_try(before: ServingRun, owner: Owner) -> bool:
    return before.owner is not None and before.owner != owner and before.owner.key == owner.key and before.spec is not None
