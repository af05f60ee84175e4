"""Tear down what an endpoint names, and sweep away what has outlived its time."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from airflow_provider_llmserve.errors import LLMServeError, NotOurs, Superseded
from airflow_provider_llmserve.platforms.base import Platform, ServingRun, Target
from airflow_provider_llmserve.platforms.lifecycle.standing import owner_of, refuse_elsewhere

log = logging.getLogger(__name__)


async def teardown(platform: Platform, target: Target, *, timeout: float, force: bool = False) -> bool:
    """Delete what the endpoint names, and wait until it is gone. True where something was deleted.

    Leaves alone, and says so: what is gone already, what a newer run deployed under the same name. Raises :class:`Elsewhere`
    where the connection leads to another place, :class:`NotOurs` for an object that this package did not make,
    :class:`StillThere` where it does not go away in ``timeout`` seconds.
    """
    await refuse_elsewhere(platform, target)
    standing = await platform.find(target)
    if standing is None:
        await platform.see_off(target, timeout=timeout)
        log.info("%s %s is gone already", target.kind or "serving run", target.name)
        return False
    if target.uid and standing.uid != target.uid:
        log.warning("%s %s was made anew by %s; it is left alone", standing.kind, standing.name, owner_of(standing))
        return False
    if standing.owner is None:
        raise NotOurs(f"{standing.kind} {standing.name} was not made by this package; it is left alone")
    if target.owner is not None and standing.owner.key != target.owner.key:
        log.warning("%s %s now belongs to a newer run, %s; it is left alone", standing.kind, standing.name, owner_of(standing))
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
        log.info(
            "%s %s of %s expired at %s%s", run.kind, run.name, owner_of(run), said["expired"], "; left alone" if dry_run else ""
        )
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
