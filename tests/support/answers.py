"""A server on loopback that stands for a model: it answers every path, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Answers:
    port: int = 0
    status: int = 200
    text: str = "hello"
    login: bool = False
    """Every path leads to ``/login``, which answers with ``text``."""
    asked: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        if self.login and request.path != "/login":
            raise web.HTTPFound("/login")
        ready = request.path.endswith("/ready") and self.status == 200  # the server of one pod, asked for its model
        return web.Response(status=self.status, text='{"ready": true}' if ready else self.text)


@asynccontextmanager
async def answering(status: int = 200, text: str = "hello") -> AsyncIterator[Answers]:
    """Serve on a free port of 127.0.0.1."""
    answers = Answers(status=status, text=text)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    answers.port = runner.addresses[0][1]
    try:
        yield answers
    finally:
        await runner.cleanup()
