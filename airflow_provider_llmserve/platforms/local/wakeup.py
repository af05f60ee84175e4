"""An event for many waiters that fires again and again."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """Everybody who waits is woken by the next :meth:`fire`; who comes later waits for the one after."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def fire(self) -> None:
        """Wake everybody who waits now."""
        fired, self._next = self._next, asyncio.Event()
        fired.set()

    async def wait(self, timeout: float | None = None) -> None:
        """Return at the next :meth:`fire`, or after ``timeout`` seconds."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._next.wait(), timeout)
