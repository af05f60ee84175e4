"""Keeps a snapshot of a few collections up to date by list and watch, and wakes whoever waits for a change.

A watch that ended, however it did, is resumed from the last version that it brought, by an event or a bookmark: the API server
tells everything since, or that it cannot any more (410). Then, and after a refusal, the collection is listed again: the list is
the truth. No fault ends it; while a collection cannot be followed, the snapshot says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from airflow_provider_llmserve.errors import AccessDenied, LLMServeError, Unavailable
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.platforms.kubernetes.wire import back_off
from airflow_provider_llmserve.readiness.labels_seen import seen_after
from airflow_provider_llmserve.readiness.observed import LabelsSeen, Observed
from airflow_provider_llmserve.runtimes.kinds import EVENT, POD
from airflow_provider_llmserve.runtimes.parts import Watched

log = logging.getLogger(__name__)

SHORT = 5.0
"""Seconds: a watch that ended sooner counts as a failure, or a server that closes every stream would be asked without pause."""
DENIED = 30.0
"""Seconds between tries at an optional collection that we may not read."""


@dataclass
class _Collection:
    watched: Watched
    objects: dict[str, Object] = field(default_factory=dict)
    labels: LabelsSeen = field(default_factory=LabelsSeen)
    tried: bool = False
    listed: bool = False
    fault: str = ""
    version: str = ""
    """What to watch from; empty where a list must tell."""

    @property
    def fields(self) -> str:
        return f"metadata.name={self.watched.name}" if self.watched.name else ""

    def put(self, uid: str, thing: Object) -> None:
        """What it is now."""
        if self.watched.kind == EVENT:
            thing.get("metadata", {}).pop("managedFields", None)  # half of an event, and no rule reads it
        if self.watched.kind == POD:
            self.labels = seen_after(self.labels, self.objects.get(uid), thing)
        self.objects[uid] = thing

    def take(self, event: Object) -> bool:
        """Fold one event of a watch in. True where the picture changed."""
        thing = event.get("object") or {}
        self.version = str((thing.get("metadata") or {}).get("resourceVersion") or self.version)
        uid = str((thing.get("metadata") or {}).get("uid") or "")
        if event.get("type") == "DELETED":
            return self.objects.pop(uid, None) is not None
        if event.get("type") in ("ADDED", "MODIFIED") and self.watched.concerns(thing):
            self.put(uid, thing)
            return True
        return False


class Reflector:
    """Open it with ``async with``: the first snapshot is complete, or says what could not be read."""

    def __init__(self, client: Client, namespace: str, watched: Sequence[Watched]) -> None:
        self._client = client
        self._namespace = namespace
        self._collections = [_Collection(w) for w in watched]
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Reflector:
        self._tasks = [asyncio.create_task(self._follow(c)) for c in self._collections]
        try:
            while not all(c.tried for c in self._collections):
                await self._changed.wait()
                self._changed.clear()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def snapshot(self) -> Observed:
        """What is known now. ``kinds`` leaves out what we may not read, so that its absence proves nothing."""
        objects: dict[str, Any] = {}
        labels = reduce(or_, (c.labels for c in self._collections), LabelsSeen())
        unread = {c.watched.kind.kind for c in self._collections if not c.listed}
        for collection in self._collections:
            objects.update(collection.objects)
        return Observed(
            objects=tuple(objects.values()),
            kinds=frozenset(c.watched.kind.kind for c in self._collections) - unread,
            labels=labels,
        )

    def blind(self) -> str:
        """Why the snapshot is not to be trusted now: the fault of a required collection. Empty where all is well."""
        return next((c.fault for c in self._collections if c.fault and c.watched.required), "")

    async def changed(self, timeout: float) -> None:
        """Until something changed, or ``timeout`` seconds."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except asyncio.TimeoutError:
            return
        self._changed.clear()

    async def _follow(self, c: _Collection) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            pause = 0.0
            try:
                if not c.version:
                    await self._list(c)
                await self._watch(c)
            except Unavailable as e:
                pause = e.retry_after
                self._faulty(c, e)
            except LLMServeError as e:  # too old a version (410), or a refusal
                c.version = ""
                pause = DENIED if isinstance(e, AccessDenied) and not c.watched.required else 0.0
                self._faulty(c, e)
            except Exception as e:
                log.exception("watching %s", c.watched.kind.plural)
                c.version = ""
                self._faulty(c, e)
            failures = failures + 1 if time.monotonic() - began < SHORT else 0
            if failures or pause:
                await asyncio.sleep(max(pause, back_off(failures)))

    async def _list(self, c: _Collection) -> None:
        w = c.watched
        listing = await self._client.list(w.kind, self._namespace, labels=w.labels, fields=c.fields)
        listed = {str(o["metadata"]["uid"]): o for o in listing.items if c.watched.concerns(o)}
        c.objects = {uid: o for uid, o in c.objects.items() if uid in listed}
        for uid, thing in listed.items():
            c.put(uid, thing)
        c.tried, c.listed, c.fault, c.version = True, True, "", listing.version
        self._changed.set()

    async def _watch(self, c: _Collection) -> None:
        w = c.watched
        events = self._client.watch(w.kind, self._namespace, version=c.version, labels=w.labels, fields=c.fields)
        try:
            async for event in events:
                if c.fault:  # it is followed again, and what came between comes now
                    c.fault = ""
                    self._changed.set()
                if c.take(event):
                    self._changed.set()
        finally:
            await events.aclose()

    def _faulty(self, c: _Collection, error: Exception) -> None:
        if str(error) != c.fault:
            log.info("%s", error)
        c.tried, c.fault = True, str(error)
        if isinstance(error, AccessDenied) and not c.watched.required:
            c.listed, c.objects = False, {}
        self._changed.set()
