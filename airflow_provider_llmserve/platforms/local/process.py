"""One model server as the supervisor sees it: started, watched, counted, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_llmserve.platforms.local import server as llama
from airflow_provider_llmserve.platforms.local.encoders import server as encoder
from airflow_provider_llmserve.platforms.local.plan import ServerSpec

if TYPE_CHECKING:
    import aiohttp

START_TIMEOUT = 600.0
"""Seconds that a server may take to load its model."""

_ERROR_LINE = re.compile(r"^[\d.]+ E (.*)$", re.MULTILINE)


class ServerFailed(Exception):
    """A server did not start. ``final`` where the same files can never start."""

    def __init__(self, text: str, *, final: bool):
        super().__init__(text)
        self.final = final


class ServerProcess:
    """A model server (llama.cpp, or transformers for an encoder) on a Unix socket, and the requests it is working on."""

    def __init__(self, spec: ServerSpec, *, generation: str, name: str, socket: Path, log: Path, threads: int):
        self.spec = spec
        self.generation = generation
        self.name = name
        self.socket = socket
        self.log = log
        self.threads = threads
        self.in_flight = 0
        self.group: Hashable = None
        self.draining = False
        self.adapter_ids = {a.name: i for i, a in enumerate(spec.adapters)}
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def slots(self) -> int:
        """How many requests it works on at once."""
        return self.spec.slots

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """It was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP client of this server; any host name does, the socket decides."""
        assert self._session is not None
        return self._session

    async def start(self) -> None:
        """Start it and return when the model is loaded. Raises :class:`ServerFailed` with the server's own words."""
        import aiohttp

        self.socket.unlink(missing_ok=True)  # llama.cpp leaves it behind and refuses to start over it
        module, line = self._launch()
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                self.name,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            await asyncio.wait_for(self._listening(self._process, line), START_TIMEOUT)
        except asyncio.TimeoutError:
            await self.stop()
            raise ServerFailed(f"not loaded after {START_TIMEOUT:.0f} s", final=False) from None
        except BaseException:
            await self.stop()
            raise
        # llama.cpp announces keep-alive and then closes after a streamed answer; a kept connection would be a race.
        connector = aiohttp.UnixConnector(str(self.socket), limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        )

    def _launch(self) -> tuple[str, bytes]:
        """The module that is run, and what it is told on its standard input."""
        spec = self.spec
        if spec.encoder is not None:
            asked = spec.encoder.model_dump(mode="json")
            told = encoder.Launch(model=spec.model.path, socket=str(self.socket), threads=self.threads, encoder=asked)
            return encoder.__name__, told.to_line()
        launch = llama.Launch(
            model=spec.model.path,
            adapters=[a.path for a in spec.adapters],
            socket=str(self.socket),
            alias=self.name,
            embedding=spec.embedding,
            slots=spec.slots,
            slot_context=spec.slot_context,
            threads=self.threads,
        )
        return llama.__name__, launch.to_line()

    async def _listening(self, process: asyncio.subprocess.Process, launch: bytes) -> None:
        assert process.stdin
        assert process.stdout
        process.stdin.write(launch)
        while line := await process.stdout.readline():
            if line.startswith((b"unix://", b"http://")):
                return
        code = await process.wait()
        # Exit code 1 is the server's refusal of what it was given; a signal is the machine's doing.
        raise ServerFailed(self.last_error() or f"ended with code {code} while loading", final=code == 1)

    async def wait(self) -> str:
        """Wait until it ends; how it ended, in words."""
        assert self._process is not None
        code = await self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        said = self.last_error()
        return f"{how}: {said}" if said else how

    async def stop(self, grace: float = 5.0) -> None:
        """End it: SIGTERM, after ``grace`` seconds SIGKILL. Running requests are cut."""
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace)
            except asyncio.TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()
        # After the process: an answer being read then ends in an error; closed first, it would hang.
        if self._session is not None:
            await self._session.close()
        self.socket.unlink(missing_ok=True)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def last_error(self) -> str:
        """The first error line of its log, else the last line; empty where it said nothing."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        found = _ERROR_LINE.search(text)
        if found:
            return found[1].strip()
        lines = text.strip().splitlines()
        return lines[-1].strip() if lines and " W " not in lines[-1] else ""
