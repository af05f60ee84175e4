"""One run, alive: keeps as many servers of the asked version as are wanted, and leads each request to one of them.

Level-triggered, as a controller is: whatever happens (a new plan, a server that came up or died, a request for a run at zero, a
timer) ends in :meth:`LocalRun._reconcile`, which compares what is with what should be and starts what is missing.
A new version starts beside the old one; when all its servers answer, requests go to it, and the old servers finish theirs.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.platforms.local.assess import Fault, Snapshot
from airflow_provider_llmserve.platforms.local.book import BookEntry
from airflow_provider_llmserve.platforms.local.line import Line, Waiter
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.plan import ServerSpec
from airflow_provider_llmserve.platforms.local.probe import smoke
from airflow_provider_llmserve.platforms.local.process import ServerFailed, ServerProcess
from airflow_provider_llmserve.platforms.local.wakeup import Wakeup

log = logging.getLogger(__name__)

MAX_OUTSTANDING = 512
"""Requests that one run works on or holds; llama.cpp itself queues without limit."""
DRAIN_TIMEOUT = 600.0
"""Seconds that a server may take over its last requests."""
LONG_LIFE = 60.0
"""A server that lived so many seconds was all right: its crash starts the count anew."""
CRASH_LIMIT = 5
"""So many crashes in a row, each after a short life, are a crash loop."""

_serial = itertools.count(1)

Ask = Callable[[BookEntry, str], Awaitable[tuple[int, str, str]]]
"""Asks by a served name through the gateway: status, generation, text."""


class Busy(Exception):
    """Too many requests are outstanding: 429."""


class NotServing(Exception):
    """The run serves nothing now and waiting does not help: 503."""


class LocalRun:
    """The servers of one run. All methods run on the supervisor's event loop."""

    def __init__(self, record: BookEntry, *, dirs: StateDir, ask: Ask):
        self.record = record
        self.generation = generation(record)
        """Names what should answer: equal for versions whose servers are the same."""
        self.changed = Wakeup()
        self._dirs = dirs
        self._ask = ask
        self._servers: list[ServerProcess] = []
        self._ending: set[ServerProcess] = set()
        self._starting: dict[asyncio.Task[Any], str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._proving: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asleep = record.plan.replicas == 0
        self._line: Line[ServerProcess] = Line()
        self._outstanding = 0
        self._last_used = time.monotonic()
        self._fault: Fault | None = None
        self._short_lives = 0
        self._not_before = 0.0
        self._answered: set[str] = set()
        self._inert: frozenset[str] = frozenset()
        self._closed = False
        self._soon()

    # what is asked for

    def update(self, record: BookEntry) -> None:
        """Take a new version over."""
        before, self.record = self.record, record
        self.generation = generation(record)
        if before.plan != record.plan or before.known.stopped != record.known.stopped:
            self._asleep = record.plan.replicas == 0
            self._last_used = time.monotonic()
            self._fault = None
            self._short_lives = 0
            self._not_before = 0.0
        if before.plan.served_names != record.plan.served_names or before.plan.server != record.plan.server:
            self._answered.clear()
        self._soon()

    @property
    def _wanted(self) -> int:
        return 0 if self.record.known.stopped or self._asleep or self._closed else max(1, self.record.plan.replicas)

    def _current(self) -> list[ServerProcess]:
        return [s for s in self._servers if s.generation == self.generation]

    # requests

    @property
    def names(self) -> dict[str, str | None]:
        """Request names that lead here, to the adapter: those asked for, and those that the version before still serves."""
        names = dict(self.record.plan.served_names)
        for server in self._servers:
            for adapter in server.adapter_ids:
                names.setdefault(f"{self.record.plan.served_name}_{adapter}", adapter)
        return names

    @asynccontextmanager
    async def lease(self, adapter: str | None, *, kind: str) -> AsyncIterator[ServerProcess]:
        """A place on a server for one request, as soon as there is one; ``kind`` sets apart what llama.cpp computes apart.

        A run at zero is woken. Raises :class:`Busy` or :class:`NotServing`.
        """
        if self._outstanding >= MAX_OUTSTANDING:
            raise Busy(f"{self.record.name} has {self._outstanding} requests outstanding")
        self._outstanding += 1
        waiter: Waiter[ServerProcess] = Waiter(group=(kind, adapter), adapter=adapter, since=time.monotonic())
        try:
            self._line.join(waiter)
            self._seat()
            if self._asleep and not waiter.place.done():
                self._asleep = False
                self._soon()
            server = await waiter.place
            yield server
        finally:
            self._line.leave(waiter)
            if waiter.place.done() and not waiter.place.cancelled() and waiter.place.exception() is None:
                self._release(waiter.place.result())
            self._outstanding -= 1
            self._last_used = time.monotonic()

    def _release(self, server: ServerProcess) -> None:
        server.in_flight -= 1
        self._seat()
        if server.draining:
            self.changed.fire()

    def _seat(self) -> None:
        self._line.seat(self._servers_for, time.monotonic())
        why = self._why_in_vain()
        if why:
            for waiter in self._line:
                if not self._servers_for(waiter.adapter):
                    self._line.leave(waiter)
                    if not waiter.place.done():
                        waiter.place.set_exception(NotServing(why))

    def _servers_for(self, adapter: str | None) -> list[ServerProcess]:
        """Servers that may answer; while a new version comes up, those of the old version where they have the adapter."""
        fit = [s for s in self._servers if s.alive and (adapter is None or adapter in s.adapter_ids)]
        current = [s for s in fit if s.generation == self.generation]
        old = [s for s in fit if s.generation != self.generation]
        switched = len(self._current()) >= self._wanted
        return (current or old) if switched else (old or current)

    def _why_in_vain(self) -> str:
        """Why a request that no server fits need not wait; empty where it may."""
        name = self.record.name
        if self._closed:
            return f"{name} was deleted"
        if self.record.known.stopped:
            return f"{name} is stopped; resume it first"
        if self._fault and self._fault.final:
            return f"{name} cannot start: {self._fault.text}"
        return ""

    # servers

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._reconcile)

    def _later(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.01), self._reconcile)

    def _reconcile(self) -> None:
        if self._closed:
            return
        plan = self.record.plan
        self._fall_asleep()
        current = self._current()
        wanted = self._wanted
        for task, started in list(self._starting.items()):
            if started != self.generation or len(current) + len(self._starting) > wanted:
                del self._starting[task]
                task.cancel()
        missing = wanted - len(current) - len(self._starting)
        wait = self._not_before - time.monotonic()
        if missing > 0 and not (self._fault and self._fault.final):
            if wait > 0:
                self._later(wait)
            else:
                for _ in range(missing):
                    self._starting[self._spawn(self._start(plan.server))] = self.generation
        if len(current) >= wanted:
            surplus = sorted(current, key=lambda s: s.in_flight)[: len(current) - wanted]
            for server in [*(s for s in self._servers if s.generation != self.generation), *surplus]:
                self._retire(server)
            if wanted:
                self._prove()
        self._seat()
        self.changed.fire()

    def _fall_asleep(self) -> None:
        plan = self.record.plan
        if plan.min_replicas > 0 or self._asleep or self.record.known.stopped:
            return
        idle = time.monotonic() - self._last_used
        if self._outstanding or self._starting or not self._servers or not self._all_answered():
            self._later(max(plan.idle_seconds, 0.2))
        elif idle < plan.idle_seconds:
            self._later(plan.idle_seconds - idle)
        else:
            log.info("%s: no request for %.0f s; scaled to zero", self.record.name, idle)
            self._asleep = True

    async def _start(self, spec: ServerSpec) -> None:
        number = next(_serial)
        name = self.record.name
        server = ServerProcess(
            spec,
            generation=self.generation,
            name=name,
            socket=self._dirs.sockets / f"server-{number % 1_000_000}.sock",
            log=self._dirs.logs / f"{self.record.kind}.{name}.{number % 10}.log",
            threads=self.record.plan.threads or max(1, cores() // max(1, self._wanted)),
        )
        started = False
        try:
            await server.start()
            inert = await smoke(server)
            started = True
        except ServerFailed as e:
            self._failed("start", str(e), final=e.final)
        except asyncio.CancelledError:
            raise
        except Exception as e:
            log.exception("%s: starting a server", name)
            self._failed("start", f"{type(e).__name__}: {e}", final=False)
        finally:
            if not started:
                await server.stop()
            task = asyncio.current_task()
            if task is not None:
                self._starting.pop(task, None)
        if started:
            log.info("%s: server %d is up", name, server.pid)
            self._inert = inert
            self._servers.append(server)
            self._spawn(self._watch(server, time.monotonic()))
        self._soon()

    async def _watch(self, server: ServerProcess, since: float) -> None:
        how = await server.wait()
        if server.draining or self._closed:
            return
        self._servers.remove(server)
        if time.monotonic() - since > LONG_LIFE:
            self._short_lives = 0
        self._short_lives += 1
        log.error("%s: server %d crashed: %s", self.record.name, server.pid, how)
        self._failed("crash", how, final=self._short_lives >= CRASH_LIMIT)
        await server.stop()
        self._soon()

    def _failed(self, what: Any, text: str, *, final: bool) -> None:
        count = self._fault.count + 1 if self._fault and self._fault.what == what else 1
        self._fault = Fault(what=what, text=text, count=count, final=final, at=datetime.now(timezone.utc).isoformat())
        tries = self._short_lives if what == "crash" else count
        # The first restart comes at once.
        self._not_before = time.monotonic() + (0 if what == "crash" and tries == 1 else min(30.0, 0.5 * 2**tries))
        self.changed.fire()

    def _retire(self, server: ServerProcess) -> None:
        server.draining = True
        self._servers.remove(server)
        self._ending.add(server)
        self._spawn(self._drain(server))

    async def _drain(self, server: ServerProcess) -> None:
        deadline = time.monotonic() + DRAIN_TIMEOUT
        while server.in_flight and server.alive and time.monotonic() < deadline:
            await self.changed.wait(5)
        await server.stop()
        self._ending.discard(server)
        self.changed.fire()

    # proof

    def _all_answered(self) -> bool:
        return self._answered >= set(self.record.plan.served_names)

    def _prove(self) -> None:
        if not self._all_answered() and (self._proving is None or self._proving.done()):
            self._proving = self._spawn(self._ask_all())

    async def _ask_all(self) -> None:
        """Ask by every served name through the gateway; only an answer by the asked generation counts."""
        record, wanted = self.record, self.generation
        for name in record.plan.served_names:
            status, answered_by, text = await self._ask(record, name)
            if self.generation != wanted:
                break
            if status == 200 and answered_by == wanted:
                self._answered.add(name)
            else:
                self._failed("probe", f"{name}: status {status}: {text[:300]}", final=False)
                self._later(1.0)
                return
        if self._fault and self._fault.what in ("probe", "start"):
            self._fault = None
        self._soon()

    # looking and ending

    def snapshot(self) -> Snapshot:
        """What the verdict is made of, as it is now."""
        record, known = self.record, self.record.known
        current = self._current()
        return Snapshot(
            uid=record.uid,
            version=record.version,
            owner=known.owner.in_words,
            deleting=self._closed,
            stopped=known.stopped,
            asleep=self._asleep,
            wanted=self._wanted,
            ready=len(current),
            old=len(self._servers) - len(current),
            ending=len(self._ending),
            proven=tuple(sorted(self._answered)),
            inert=tuple(sorted(self._inert)),
            names=tuple(record.plan.served_names),
            fault=self._fault,
            port=record.port,
        )

    def report_port(self, text: str) -> None:
        """The run's port could not be opened."""
        self._failed("port", text, final=True)

    async def close(self) -> None:
        """End all servers now; running requests are cut."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        self._seat()
        self.changed.fire()
        servers = [*self._servers, *self._ending]
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(s.stop() for s in servers))
        self._servers.clear()
        self._ending.clear()
        self._seat()
        self.changed.fire()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def generation(record: BookEntry) -> str:
    """Names the servers of a record's plan."""
    return digest([record.uid, record.plan.server.model_dump(mode="json")])[:16]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
