"""Delete one very object and see it through: its pods gone, that is, its GPUs free."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from airflow_provider_llmserve.errors import Conflict, NotFound, StillThere, Superseded, Unavailable
from airflow_provider_llmserve.platforms.base import ServingRun, Target
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.live import Live, read, same_deployment
from airflow_provider_llmserve.platforms.kubernetes.reflector import Reflector
from airflow_provider_llmserve.readiness.fields import name_of
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.readiness.pods import pod_ended
from airflow_provider_llmserve.runtimes import runtimes_of
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.kinds import POD
from airflow_provider_llmserve.runtimes.parts import Watched
from airflow_provider_llmserve.runtimes.remains import CHAIN, KUBERNETES_OWN, Remains

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 10


async def delete(client: Client, runtime: Runtime, run: ServingRun, *, timeout: float, force: bool) -> None:
    """See :meth:`platforms.base.Platform.delete`. Raises :class:`Superseded` where it became another deployment's meanwhile.

    However often the client tries again while the API server is away, the deletion is asked for within ``timeout`` or not at all.
    By ``force`` a finalizer is removed that still holds the object after half of it.
    """
    watched = [w for w in runtime.watched(run.name) if w.kind in CHAIN and w.kind != runtime.PRIMARY]
    watched.append(Watched(runtime.PRIMARY, name=run.name))
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    reflector = Reflector(client, run.namespace, watched)
    try:
        await _within(timeout, reflector.__aenter__(), run)
        remains = Remains(runtime, run.name, run.uid)
        remains.look(reflector.snapshot())
        await _within(deadline - clock(), _ask_for_deletion(client, runtime, run), run)
        patience = (deadline - clock()) / (2 if force else 1)
        if await _gone(reflector, remains, patience):
            return
        stuck = remains.finalizers(reflector.snapshot())
        if force and stuck:
            log.warning("%s %s: removing the stuck finalizer %s", run.kind, run.name, ", ".join(stuck))
            await _remove_finalizers(client, runtime, run)
        if force and await _gone(reflector, remains, deadline - clock()):
            return
        raise StillThere(_still_there(run, remains, reflector, timeout, force=force))
    finally:
        await reflector.__aexit__()


async def see_off(client: Client, namespace: str, target: Target, *, timeout: float) -> None:
    """See :meth:`platforms.base.Platform.see_off`."""
    runtimes = runtimes_of(target.kind)

    def lingers(pod: Object) -> bool:
        return not pod_ended(pod) and any(r.descends(pod, name=target.name, uid=target.uid) for r in runtimes)

    pods = [w for runtime in runtimes for w in runtime.watched(target.name) if w.kind == POD and w.required]
    listings = await asyncio.gather(*(client.list(POD, namespace, labels=w.labels) for w in pods))
    if not any(lingers(o) for listing in listings for o in listing.items):
        return
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    primaries = [Watched(runtime.PRIMARY, name=target.name, required=False) for runtime in runtimes]
    async with Reflector(client, namespace, [*pods, *primaries]) as reflector:
        while True:
            observed = reflector.snapshot()
            left = [name_of(o) for o in observed.of(POD.kind) if lingers(o)]
            deployed_anew = any(observed.get(w.kind.kind, target.name) for w in primaries)
            if deployed_anew or not (left or reflector.blind()):
                return
            if clock() >= deadline:
                raise StillThere(
                    f"{target.kind or 'serving run'} {target.name} is gone, but after {timeout:.0f} s its pods are not: "
                    f"{', '.join(left) or reflector.blind()}. They still hold their resources; a retry goes on waiting for them"
                )
            await reflector.changed(max(deadline - clock(), 0.01))


async def _within(seconds: float, work: Coroutine[Any, Any, T], run: ServingRun) -> T:
    """The work's result. Raises :class:`Unavailable` where it takes longer. (``asyncio.wait_for`` can swallow a cancellation.)"""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=max(seconds, 0.0))
        if not task.done():
            raise Unavailable(
                f"{run.kind} {run.name}: the API server did not answer in time, and its deletion may not have been asked for; "
                "tear it down again"
            )
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _ask_for_deletion(client: Client, runtime: Runtime, run: ServingRun) -> None:
    live: Live | None = run.native if isinstance(run.native, Live) else None
    for attempt in range(TRIES):
        if attempt or live is None:  # the first time what the caller read a moment ago will do: its version is a precondition
            live = await read(client, run.namespace, runtime, run.name)
        if live is None or live.uid != run.uid or live.primary["metadata"].get("deletionTimestamp"):
            return
        if not same_deployment(live.record, run):
            raise Superseded(f"{run.kind} {run.name} was deployed again by somebody else meanwhile; it is left alone")
        try:
            await client.delete(
                runtime.PRIMARY,
                run.namespace,
                run.name,
                uid=live.uid,
                version=live.version,
                propagation=runtime.RECORD.PROPAGATION,
            )
            return
        except NotFound:
            return
        except Conflict:  # its version moved: by a status, or by a newer deployment, which the next look tells
            if attempt == TRIES - 1:
                raise


async def _gone(reflector: Reflector, remains: Remains, timeout: float) -> bool:
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    while True:
        observed = reflector.snapshot()
        remains.look(observed)
        if not reflector.blind() and not remains.left(observed):
            return True
        if clock() >= deadline:
            return False
        await reflector.changed(max(deadline - clock(), 0.01))


async def _remove_finalizers(client: Client, runtime: Runtime, run: ServingRun) -> None:
    for _ in range(TRIES):
        live = await client.get(runtime.PRIMARY, run.namespace, run.name)
        if live is None or live["metadata"]["uid"] != run.uid:
            return
        kept = [f for f in live["metadata"].get("finalizers") or () if f in KUBERNETES_OWN]
        body = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"], "finalizers": kept or None}}
        try:
            await client.patch(runtime.PRIMARY, run.namespace, run.name, body)
            return
        except NotFound:
            return
        except Conflict:
            continue


def _still_there(run: ServingRun, remains: Remains, reflector: Reflector, timeout: float, *, force: bool) -> str:
    """What is left, why, and what to do."""
    observed = reflector.snapshot()
    left, stuck = remains.left(observed), remains.finalizers(observed)
    text = f"{run.kind} {run.name} is not gone after {timeout:.0f} s; still there: {', '.join(left) or 'nothing seen'}"
    if stuck:
        text += f". The finalizer {', '.join(stuck)} holds it: see why its controller does not remove it"
        text += "" if force else ", or pass force=True to remove the finalizer"
    if any(x.startswith("Pod ") for x in left):
        text += ". Its pods still hold their resources; a retry goes on waiting for them"
    return text + (f". The cluster cannot be seen: {reflector.blind()}" if reflector.blind() else "")
