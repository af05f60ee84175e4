"""The task's side of the control socket: finds the supervisor, or starts one."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import airflow_provider_llmserve
from airflow_provider_llmserve.errors import PlatformError, Unavailable
from airflow_provider_llmserve.platforms.local import control
from airflow_provider_llmserve.platforms.local.book import Book, BookEntry
from airflow_provider_llmserve.platforms.local.paths import StateDir

START_TIMEOUT = 60.0
"""Seconds until a started supervisor must answer: it restores runs without waiting for their models."""

_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "SSL_CERT_FILE",
)
"""What a supervisor keeps of a task's environment: it outlives the task and must not hold the task's secrets."""


class Client:
    """Calls on the supervisor of one state directory. ``port`` is the gateway's, 0 for any."""

    def __init__(self, dirs: StateDir, port: int = 0):
        self.dirs = dirs
        self._port = port

    async def call(self, op: str, **args: Any) -> Any:
        """Do ``op``, starting a supervisor where none answers. All operations may be repeated."""
        for attempt in range(3):
            await self._ensure()
            try:
                return await control.call(self.dirs.control, op, **args)
            except Unavailable:
                if attempt == 2:
                    raise

    async def watch(self, kind: str, name: str) -> AsyncIterator[Any]:
        """Snapshots of one run, over as many supervisors as it takes."""
        while True:
            try:
                if await self.running() is None:
                    if await self.find(kind, name) is None:
                        yield None
                    else:
                        await self._ensure()
                async for seen in control.watch(self.dirs.control, kind=kind, name=name):
                    yield seen
            except Unavailable:
                pass
            await asyncio.sleep(1)

    async def running(self) -> dict[str, Any] | None:
        """What a running supervisor says of itself; None where none runs."""
        try:
            status: dict[str, Any] = await control.call(self.dirs.control, "status")
            return status
        except Unavailable:
            return None

    async def records(self) -> list[BookEntry]:
        """Every run: as the live supervisor has it, or, where none runs, as the book says. A book alone may lag behind."""
        try:
            found = await control.call(self.dirs.control, "runs")
        except Unavailable:
            return Book.read(self.dirs.runs).runs
        return [BookEntry.model_validate(r) for r in found]

    async def find(self, kind: str, name: str) -> BookEntry | None:
        """The run of that name; an empty ``kind`` takes whichever stands there."""
        return next((r for r in await self.records() if r.name == name and kind in ("", r.kind)), None)

    async def ended(self, deadline: float) -> bool:
        """Wait until no supervisor lives, until ``deadline`` (of ``time.monotonic``)."""
        while not _free(self.dirs.supervisor_lock):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _ensure(self) -> None:
        if await self.running() is not None:
            return
        self.dirs.make()
        with _locked(await asyncio.to_thread(_lock, self.dirs.start_lock)):
            if await self.running() is not None:
                return
            await asyncio.to_thread(self._spawn)
            deadline = time.monotonic() + START_TIMEOUT
            while await self.running() is None:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the local supervisor does not come up; its log is {self.dirs.supervisor_log}")
                await asyncio.sleep(0.05)

    def _spawn(self) -> None:
        package = str(Path(airflow_provider_llmserve.__file__).parent.parent)
        environment = {k: os.environ[k] for k in _ENVIRONMENT if k in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        module = "airflow_provider_llmserve.platforms.local.supervisor"
        log = os.open(self.dirs.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            subprocess.run(  # it forks and returns at once
                [sys.executable, "-m", module, str(self.dirs.root), str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                check=True,
                timeout=START_TIMEOUT,
            )
        except subprocess.SubprocessError as e:
            raise PlatformError(f"the local supervisor does not start ({e}); its log is {self.dirs.supervisor_log}") from e
        finally:
            os.close(log)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


@contextmanager
def _locked(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


def _free(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
