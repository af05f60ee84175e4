"""The process that outlives the task: ``python -m airflow_provider_llmserve.platforms.local.supervisor STATE_DIR PORT``.

Holds the gateway, the model servers and the book of runs. Whatever is in the book is served: after ``kill -9`` a new supervisor
(the next control call starts one) restores every run on its old port. When the last run is gone it ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp  # noqa: TID253 (a process of its own)
from aiohttp import web  # noqa: TID253

from airflow_provider_llmserve.errors import Conflict, NotFound, PlatformError
from airflow_provider_llmserve.platforms.local import control
from airflow_provider_llmserve.platforms.local.book import Book, BookEntry
from airflow_provider_llmserve.platforms.local.encoders.routes import with_encoders
from airflow_provider_llmserve.platforms.local.gateway import gateway_app, standalone_app
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.plan import LocalPlan
from airflow_provider_llmserve.platforms.local.probe import ask_gateway
from airflow_provider_llmserve.platforms.local.run import LocalRun
from airflow_provider_llmserve.platforms.local.wakeup import Wakeup

log = logging.getLogger(__name__)

LINGER = 10.0
"""Seconds that a supervisor waits for its first run."""
HEARTBEAT = 5.0
"""Seconds after which a watcher is told the state again."""

Key = tuple[str, str]


class Supervisor:
    """All runs of one state directory."""

    def __init__(self, dirs: StateDir, port: int):
        self._dirs = dirs
        self._book = Book.read(dirs.runs)
        self._book.port = port or self._book.port
        self._runs: dict[Key, LocalRun] = {}
        self._listeners: dict[Key | None, web.AppRunner] = {}
        self._explicit_port = port
        self._writing = asyncio.Lock()
        self._changed = Wakeup()
        self._idle = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Serve until the last run is gone, or SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._idle.set)
        async with aiohttp.ClientSession() as self._session:
            for socket in self._dirs.sockets.glob("server-*.sock"):
                socket.unlink()
            for record in self._book.runs:
                await self._open(record)
            listener = await control.serve(self._dirs.control, self)
            log.info("supervisor %d is up with %d runs", os.getpid(), len(self._runs))
            try:
                if not self._runs:
                    loop.call_later(LINGER, self._end_if_idle)
                await self._idle.wait()
            finally:
                listener.close()
                self._dirs.control.unlink(missing_ok=True)
                await asyncio.gather(*(d.close() for d in self._runs.values()))
                for runner in self._listeners.values():
                    await runner.cleanup()
        log.info("supervisor %d ends", os.getpid())

    def _end_if_idle(self) -> None:
        if not self._runs:
            self._idle.set()

    # control

    async def call(self, op: str, args: dict[str, Any]) -> Any:
        """One order from the control socket: ``status``, ``runs``, ``apply`` …; an unknown one raises :class:`NotFound`."""
        if op == "status":
            return {"pid": os.getpid(), "port": self._book.port, "runs": [list(k) for k in self._runs]}
        if op == "runs":
            return [d.record.model_dump(mode="json") for d in self._runs.values()]
        if op == "apply":
            async with self._writing:
                return await self._apply(**args)
        if op == "settle":
            return self._settle(**args)
        if op == "delete":
            async with self._writing:
                return await self._delete(**args)
        raise NotFound(f"unknown operation {op!r}")

    async def watch(self, args: dict[str, Any]) -> AsyncIterator[Any]:
        """Snapshots of one run: at once, at each change, and every few seconds; None while there is none."""
        key = (args["kind"], args["name"])
        last: Any = object()
        loop = asyncio.get_running_loop()
        told = 0.0
        while True:
            run = self._runs.get(key)
            seen = run.snapshot().model_dump(mode="json") if run else None
            if seen != last or loop.time() - told >= HEARTBEAT:
                yield seen
                last, told = seen, loop.time()
            await (run.changed if run else self._changed).wait(HEARTBEAT)

    async def _apply(self, kind: str, name: str, record: dict[str, str], plan: dict[str, Any], expect: str) -> Any:
        key = (kind, name)
        run = self._runs.get(key)
        old = run.record if run else None
        new = BookEntry(
            kind=kind,
            name=name,
            uid=old.uid if old else str(uuid.uuid4()),
            version=old.version + 1 if old else 1,
            record=record,
            plan=LocalPlan.model_validate(plan),
            port=old.port if old else 0,
        ).after(old)
        if run is None or old is None:
            if expect:
                raise Conflict(f"{kind} {name} was deleted meanwhile")
            return (await self._begin(new)).model_dump(mode="json")
        if _same(old, new):
            return old.model_dump(mode="json")
        if expect != f"{old.uid}/{old.version}":
            raise Conflict(f"{kind} {name} was changed meanwhile by {old.known.owner.in_words}")
        self._write({key: new})
        run.update(new)
        return new.model_dump(mode="json")

    def _settle(self, kind: str, name: str, uid: str, version: int) -> Any:
        run = self._runs.get((kind, name))
        if run is not None and run.record.uid == uid and run.record.version == version:
            self._proven(run)
        return None

    async def _delete(self, kind: str, name: str, uid: str, version: int) -> Any:
        key = (kind, name)
        run = self._runs.get(key)
        if run is not None and run.record.uid == uid:
            if run.record.version != version:
                raise Conflict(
                    f"{kind} {name} was deployed again by {run.record.known.owner.in_words} meanwhile; it is left alone"
                )
            await run.close()
            if self._runs.get(key) is run:
                del self._runs[key]
            await self._close_listener(key)
            self._changed.fire()
            self._look().shrink(self._dirs.runs)
        if not self._runs:
            # After the answer has gone out.
            asyncio.get_running_loop().call_later(0.05, self._end_if_idle)
        return {"last": not self._runs}

    # runs

    async def _begin(self, record: BookEntry) -> BookEntry:
        """A run that was not there: its port, its line in the book, then its servers. Where the book cannot be written there
        is none."""
        record, fault = await self._port_for(record)
        try:
            self._write({record.key: record})
        except PlatformError:
            await self._close_listener(record.key)
            raise
        self._start(record, fault)
        return record

    async def _open(self, record: BookEntry) -> None:
        """A run that the book knows."""
        self._start(*await self._port_for(record))

    def _start(self, record: BookEntry, fault: str) -> None:
        run = LocalRun(record, dirs=self._dirs, ask=self._ask)
        self._runs[record.key] = run
        self._changed.fire()
        if fault:
            run.report_port(fault)

    async def _port_for(self, record: BookEntry) -> tuple[BookEntry, str]:
        """The record with the port where it listens; or why there is none."""
        standalone = record.plan.protocol == "huggingface"
        try:
            if standalone:
                runs = partial(self._of, record.key)
                port = await self._listen(record.key, with_encoders(standalone_app(runs), runs), record.port)
            else:
                port = await self._share(record)
        except OSError as e:
            return record, f"127.0.0.1:{record.port if standalone else self._book.port}: {e.strerror or e}"
        return record.model_copy(update={"port": port}), ""

    async def _share(self, record: BookEntry) -> int:
        """The port of the shared gateway, opened with its first run."""
        if None not in self._listeners:
            app = gateway_app(self._shared)
            try:
                self._book.port = await self._listen(None, app, self._book.port)
            except OSError:
                if self._explicit_port or record.port or not self._book.port:
                    raise
                # The port of earlier runs, kept for convenience; nobody was promised it.
                self._book.port = await self._listen(None, gateway_app(self._shared), 0)
        return self._book.port

    def _shared(self) -> list[LocalRun]:
        return [d for d in self._runs.values() if d.record.plan.protocol == "kubeai"]

    def _of(self, key: Key) -> list[LocalRun]:
        return [self._runs[key]] if key in self._runs else []

    async def _listen(self, key: Key | None, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._listeners[key] = runner
        return int(runner.addresses[0][1])

    async def _close_listener(self, key: Key) -> None:
        keys: list[Key | None] = [key] if self._shared() else [key, None]
        for k in keys:
            runner = self._listeners.pop(k, None)
            if runner is not None:
                await runner.cleanup()

    async def _ask(self, record: BookEntry, name: str) -> tuple[int, str, str]:
        assert self._session is not None
        return await ask_gateway(self._session, f"http://127.0.0.1:{record.port}", name, record.plan.server)

    def _proven(self, run: LocalRun) -> None:
        if run.record.known.proven:
            return
        proven = run.record.as_proven
        self._write({proven.key: proven})
        run.record = proven

    def _look(self, changed: Mapping[Key, BookEntry] = MappingProxyType({})) -> Book:
        """The book as it should be now, with what is about to change."""
        records = {key: d.record for key, d in self._runs.items()} | dict(changed)
        return Book(port=self._book.port, runs=list(records.values()))

    def _write(self, changed: Mapping[Key, BookEntry]) -> None:
        """Write what is about to be so, before it is. Raises :class:`PlatformError`, and then nothing has changed."""
        self._look(changed).write(self._dirs.runs)


def _same(a: BookEntry, b: BookEntry) -> bool:
    """Whether ``b`` would change nothing: the same want of the same owner."""
    kept = ("owner", "spec", "ttl")
    return a.plan == b.plan and all(a.record.get(key) == b.record.get(key) for key in kept)


def main() -> None:
    """Become the supervisor of a state folder (first argument) on a port (second; 0: any), detached from the caller."""
    dirs, port = StateDir(Path(sys.argv[1])), int(sys.argv[2])
    if os.fork():  # the task that started us must not have to wait for us
        os._exit(0)
    os.setsid()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # One supervisor a state directory; one that is just ending is waited for.
    lock = os.open(dirs.supervisor_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        asyncio.run(_run(dirs, port))
    except Exception:
        log.exception("the supervisor ends")
        sys.exit(1)


async def _run(dirs: StateDir, port: int) -> None:
    await Supervisor(dirs, port).run()


if __name__ == "__main__":
    main()
