"""The way out of the test API server: it dials pods, Services and kubelets through this HTTP CONNECT proxy on a Unix socket.

The addresses of kwok's pods lead nowhere, so a target goes to the loopback port that a test routed it to; targets on 127.…
(kwok's own port, for exec and logs) and those of a real node are passed on as they are; any other is refused.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

DIALS_FOR = 10.0
"""Seconds; a pod that is gone does not answer at all."""


class Egress:
    """Runs in a thread of its own from :meth:`start` to :meth:`stop`."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.routes: dict[str, int] = {}
        """``host:port`` or ``*:port`` to a port on 127.0.0.1."""
        self.own = ["127."]
        """Beginnings of addresses that are on this machine."""
        self.refused: list[str] = []
        """Targets without a route, for a failing test to show."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="egress", daemon=True)

    def start(self) -> None:
        self._thread.start()
        listening = asyncio.start_unix_server(self._serve, str(self.socket))
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _hang_up(self) -> None:
        self._server.close()
        open_connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in open_connections:
            connection.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)
        await asyncio.sleep(0)  # closing transports let go of their sockets in the loop's next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode()
        host, _, port = target.rpartition(":")
        own = host.startswith(tuple(self.own))
        to = int(port) if own else self.routes.get(target, self.routes.get(f"*:{port}"))
        try:
            if to is None:
                raise ConnectionRefusedError(target)
            there = await asyncio.wait_for(asyncio.open_connection(host if own else "127.0.0.1", to), DIALS_FOR)
        except (OSError, asyncio.TimeoutError):
            self.refused.append(target)
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
