"""The control protocol: one JSON line a request over a Unix socket, one JSON line (or, for ``watch``, many) in answer.

The socket lies in a directory that only its owner may enter, and is itself 0600. An answer is ``{"ok": value}`` or
``{"error": kind, "message": text}``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_llmserve.errors import Conflict, NotFound, PlatformError, Unavailable

log = logging.getLogger(__name__)

LIMIT = 16 * 2**20
"""Bytes of one line."""
_ERRORS: Mapping[str, type[PlatformError]] = {"conflict": Conflict, "not_found": NotFound, "failed": PlatformError}


class Service(Protocol):
    """What the supervisor does for its callers."""

    async def call(self, op: str, args: dict[str, Any]) -> Any:
        """Carry out one operation by its name; the result is JSON. Raises :class:`PlatformError`."""
        ...

    def watch(self, args: dict[str, Any]) -> AsyncIterator[Any]:
        """Snapshots of one serving run as JSON, without end; None while there is none."""
        ...


async def serve(path: Path, service: Service) -> asyncio.Server:
    """Listen on ``path``, for this user only."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 (no other work waits yet)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(lambda r, w: _converse(service, r, w), str(path), limit=LIMIT)
    finally:
        os.umask(before)


async def _converse(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await _answer(service, json.loads(await reader.readline()), writer)
    except (ConnectionError, json.JSONDecodeError, asyncio.CancelledError):
        pass  # the caller went away, or the supervisor ends
    finally:
        writer.close()


async def _answer(service: Service, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    op = request.pop("op", "")
    try:
        if op == "watch":
            async for value in service.watch(request):
                await _send(writer, {"ok": value})
        else:
            await _send(writer, {"ok": await service.call(op, request)})
    except ConnectionError:
        raise
    except PlatformError as e:
        kind = next((k for k, cls in _ERRORS.items() if type(e) is cls), "failed")
        await _send(writer, {"error": kind, "message": str(e)})
    except Exception as e:
        log.exception("control request %s", op)
        await _send(writer, {"error": "failed", "message": f"{type(e).__name__}: {e}"})


async def _send(writer: asyncio.StreamWriter, value: Any) -> None:
    writer.write(json.dumps(value).encode() + b"\n")
    await writer.drain()


async def call(path: Path, op: str, **args: Any) -> Any:
    """One request. Raises :class:`Unavailable` where nobody listens or the answer does not come."""
    async for value in watch(path, op, **args):
        return value
    raise Unavailable(f"the local supervisor ended while it was asked to {op}")


async def watch(path: Path, op: str = "watch", **args: Any) -> AsyncIterator[Any]:
    """The answers to one request, until the supervisor ends the conversation."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LIMIT)
    except OSError as e:
        raise Unavailable(f"no local supervisor listens on {path}: {e}") from e
    try:
        writer.write(json.dumps({"op": op, **args}).encode() + b"\n")
        await writer.drain()
        while line := await reader.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise _ERRORS[answer["error"]](answer["message"])
            yield answer["ok"]
    except (ConnectionError, asyncio.IncompleteReadError) as e:
        raise Unavailable(f"the local supervisor went away: {e}") from e
    finally:
        writer.close()
