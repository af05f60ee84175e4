"""A real HTTP server on loopback whose answers a test decides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """Serve ``app`` in a thread of its own; yields its base URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class ChatStub:
    """An OpenAI-compatible server: ``answer(body, nth)`` decides, ``nth`` counting the requests of one prompt from 0.

    ``answer`` returns text (the completion) or a response, and may be async.
    """

    def __init__(self, answer: Callable[..., object]):
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.app = web.Application()
        self.app.router.add_post("/v1/chat/completions", self._chat)
        self.app.router.add_post("/v1/completions", self._completion)

    async def _said(self, request: web.Request, key: str) -> tuple[dict[str, Any], object]:
        body = await request.json()
        nth = sum(one[key] == body[key] for one in self.bodies)
        self.bodies.append(body)
        said = self.answer(body, nth)
        return body, await said if asyncio.iscoroutine(said) else said

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, said = await self._said(request, "messages")
        if isinstance(said, web.StreamResponse):
            return said
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        )

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        body, said = await self._said(request, "prompt")
        choice = {"index": 0, "finish_reason": "length", "text": said}
        return web.json_response(
            {"id": "1", "object": "text_completion", "created": 1, "model": body["model"], "choices": [choice]}
        )
