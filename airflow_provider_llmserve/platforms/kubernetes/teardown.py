"""Delete one very object and see it through: its pods gone, that is, its GPUs free."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from airflow_provider_llmserve.errors import Conflict, NotFound, StillThere, Superseded, Unavailable
from airflow_provider_llmserve.platforms.base import ServingRun, Target
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.reflector import Reflector
from airflow_provider_llmserve.platforms.kubernetes.standing import Standing, read, same_deployment
from airflow_provider_llmserve.readiness.fields import name_of
from airflow_provider_llmserve.readiness.observed import Object, Observed
from airflow_provider_llmserve.readiness.pods import pod_ended
from airflow_provider_llmserve.runtimes import runtimes_of
from airflow_provider_llmserve.runtimes.base import DEPLOYMENT, POD, REPLICA_SET, Runtime, Watched

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 10
CHAIN = (DEPLOYMENT, REPLICA_SET, POD)
"""Kinds between a primary object and its pods, owners first."""
KUBERNETES_OWN = ("foregroundDeletion", "orphan")
"""Finalizers of the garbage collector, which nobody else may remove."""


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
        remains = _Remains(runtime, run)
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
        raise StillThere(remains.text(reflector, timeout, force=force))
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
    live: Standing | None = run.native if isinstance(run.native, Standing) else None
    for attempt in range(TRIES):
        if attempt or live is None:  # the first time what the caller read a moment ago will do: its version is a precondition
            live = await read(client, run.namespace, runtime, run.name)
        if live is None or live.uid != run.uid or live.primary["metadata"].get("deletionTimestamp"):
            return
        if not same_deployment(live.record, run):
            raise Superseded(f"{run.kind} {run.name} was deployed again by somebody else meanwhile; it is left alone")
        try:
            # In the foreground the collector takes the record along while a finalizer still holds the object: a retry
            # would not know its own deployment any more.
            foreground = runtime.RECORD == "primary"
            await client.delete(
                runtime.PRIMARY,
                run.namespace,
                run.name,
                uid=live.uid,
                version=live.version,
                propagation="Foreground" if foreground else "Background",
            )
            return
        except NotFound:
            return
        except Conflict:  # its version moved: by a status, or by a newer deployment, which the next look tells
            if attempt == TRIES - 1:
                raise


async def _gone(reflector: Reflector, remains: _Remains, timeout: float) -> bool:
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


class _Remains:
    """Which objects are this run's: the primary by its uid, Deployments, ReplicaSets and pods by the chain of their owners."""

    def __init__(self, runtime: Runtime, run: ServingRun) -> None:
        self._runtime = runtime
        self._run = run
        self._uids = {run.uid}

    def look(self, observed: Observed) -> None:
        """Remember whose children we see: an owner may be gone before its pods are."""
        for kind in CHAIN:
            self._uids |= {_uid(o) for o in observed.of(kind.kind) if self._ours(o)}

    def left(self, observed: Observed) -> list[str]:
        """What is still there."""
        primary = observed.get(self._runtime.PRIMARY.kind, self._run.name)
        kept = [f"{self._runtime.PRIMARY.kind} {self._run.name}"] if primary and _uid(primary) == self._run.uid else []
        return kept + [f"Pod {o['metadata']['name']}" for o in observed.of(POD.kind) if _uid(o) in self._uids]

    def finalizers(self, observed: Observed) -> list[str]:
        """Those that hold the primary object, except the garbage collector's."""
        primary = observed.get(self._runtime.PRIMARY.kind, self._run.name)
        if primary is None or _uid(primary) != self._run.uid:
            return []
        return [f for f in primary["metadata"].get("finalizers") or () if f not in KUBERNETES_OWN]

    def text(self, reflector: Reflector, timeout: float, *, force: bool) -> str:
        """What is left, why, and what to do."""
        observed = reflector.snapshot()
        left, stuck = self.left(observed), self.finalizers(observed)
        text = f"{self._run.kind} {self._run.name} is not gone after {timeout:.0f} s; still there: {', '.join(left) or 'nothing seen'}"
        if stuck:
            text += f". The finalizer {', '.join(stuck)} holds it: see why its controller does not remove it"
            text += "" if force else ", or pass force=True to remove the finalizer"
        if any(x.startswith("Pod ") for x in left):
            text += ". Its pods still hold their resources; a retry goes on waiting for them"
        return text + (f". The cluster cannot be seen: {reflector.blind()}" if reflector.blind() else "")

    def _ours(self, thing: Object) -> bool:
        references = (thing.get("metadata") or {}).get("ownerReferences") or ()
        return any(r.get("uid") in self._uids for r in references)


def _uid(thing: Object) -> str:
    return str((thing.get("metadata") or {}).get("uid") or "")
