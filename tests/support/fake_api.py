"""An API server that misbehaves on order: for answers that a healthy one does not give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Status = tuple[int, str]
HOLD: dict[str, Any] = {}


@dataclass
class FakeApi:
    """ConfigMaps of one namespace. ``on_list`` and ``on_watch`` are taken one a request; without any, all goes well."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 1
    on_any: list[Status] = field(default_factory=list)
    on_list: list[Status] = field(default_factory=list)
    on_watch: list[Status | list[dict[str, Any]]] = field(default_factory=list)
    """A status, or the events to send before the stream is closed; after ``HOLD`` it stays open."""
    tokens: set[str] = field(default_factory=set)
    """Tokens that are let in; empty lets in all."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of every answer that is a fault."""
    requests: list[str] = field(default_factory=list)
    port: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, name: str, **data: str) -> None:
        """Create or change a ConfigMap without any watch hearing of it."""
        self.version += 1
        self.objects[name] = config_map(name, self.version, **data)

    def kubeconfig(self, **user: Any) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") == "true"
        self.requests.append(f"watch {request.query['resourceVersion']}" if watch else "list")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens and token not in self.tokens:
            return self.fault((401, "Unauthorized"))
        if self.on_any:
            return self.fault(self.on_any.pop(0))
        if watch:
            return await self.watch(request)
        if self.on_list:
            return self.fault(self.on_list.pop(0))
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": list(self.objects.values())})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        order = self.on_watch.pop(0) if self.on_watch else None
        if isinstance(order, tuple):
            return self.fault(order)
        response = web.StreamResponse()
        await response.prepare(request)
        for event in [HOLD] if order is None else order:
            if event is HOLD:
                await self.closing.wait()
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    def fault(self, status: Status) -> web.Response:
        code, message = status
        return web.json_response({"kind": "Status", "code": code, "message": message}, status=code, headers=self.headers)


def config_map(name: str, version: int = 1, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)},
        "data": data,
    }


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    """Serve on a free port of 127.0.0.1."""
    api = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.port = runner.addresses[0][1]
    try:
        yield api
    finally:
        api.closing.set()
        await runner.cleanup()


async def until_async(what: str, condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true value of ``condition``, the loop running on meanwhile. Fails the test after ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        value = condition()
        if value:
            return value
        if loop.time() > deadline:
            raise AssertionError(f"not so after {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)
