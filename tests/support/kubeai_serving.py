"""Model servers in memory, and KubeAI's gateway in front of them,
as recorded from the real one (``recordings/kubeai-gateway.json``)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

HOLD_INTERVAL = 0.05


@dataclass
class ModelServer:
    """One pod's server. ``adapters`` are those in its memory: a restart of its container loses them, the pod's label stays."""

    pod: str
    model: str
    image: str = ""
    adapters: dict[str, str] = field(default_factory=dict)
    """Name to URL of the weights in memory."""
    files: dict[str, str] = field(default_factory=dict)
    """What the loader has put into ``/adapters``: name to URL."""
    has_model: bool = True

    def answer(self, name: str, route: str) -> tuple[int, dict[str, Any]]:
        """Status and body; the text says who answered, with which weights."""
        known = {**({self.model: ""} if self.has_model else {}), **self.adapters}
        if name not in known:
            error = {"message": f"The model `{name}` does not exist.", "type": "NotFoundError", "param": None, "code": 404}
            return 404, {"error": error}
        text = f"pod={self.pod} image={self.image}" + (f" adapter={name}@{known[name]}" if known[name] else "")
        if route == "embeddings":
            return 200, {"object": "list", "model": name, "data": [{"index": 0, "object": "embedding", "embedding": [0.0, 1.0]}]}
        if route == "rerank":
            return 200, {"model": name, "results": [{"index": 0, "relevance_score": 1.0}]}
        choice = {"index": 0, "finish_reason": "length", "text": text, "message": {"role": "assistant", "content": text}}
        return 200, {"id": "cmpl-1", "object": "text_completion", "model": name, "choices": [choice]}

    async def infer(self, name: str, route: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer to one request; a server with real weights puts its own here."""
        return self.answer(name, route)

    def listed(self) -> dict[str, Any]:
        names = [*([self.model] if self.has_model else []), *self.adapters]
        rights = {"object": "model_permission", "created": 1764000000, "organization": "*", "group": None, "is_blocking": False}
        rights |= dict.fromkeys(("create_engine", "sampling", "logprobs", "search_indices", "view", "fine_tuning"), True)
        card = {"object": "model", "created": 1764000000, "owned_by": "vllm", "parent": self.model, "max_model_len": 4096}
        return {"object": "list", "data": [{"id": n, "root": n, **card, "permission": [{"id": n, **rights}]} for n in names]}


class Site:
    """An aiohttp application on a free loopback port."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()


def pod_site(server: ModelServer) -> Site:
    """One pod's own port, as the pod proxy reaches it."""

    async def models(request: web.Request) -> web.Response:
        return web.json_response(server.listed())

    async def infer(request: web.Request) -> web.Response:
        asked = await request.json()
        status, body = await server.infer(str(asked.get("model")), request.match_info["route"], asked)
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/{route:.+}", infer)
    return Site(app)


class Gateway:
    """Routes by Model and pod labels; holds what has no endpoint yet, without a limit."""

    def __init__(
        self,
        models: Callable[[], dict[str, dict[str, Any]]],
        endpoints: Callable[[str, str], list[ModelServer]],
        wake: Callable[[str], Awaitable[None]],
    ) -> None:
        self._models, self._endpoints, self._wake = models, endpoints, wake
        self.active: Counter[str] = Counter()
        """Requests in flight by the name asked for, adapters by theirs: which is why the autoscaler does not count them."""
        self._turn = 0
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/openai/v1/models", self._list)
        for route in ("completions", "chat/completions", "embeddings", "rerank"):
            app.router.add_route("*", f"/openai/v1/{route}", self._infer)
        self.site = Site(app)

    async def _list(self, request: web.Request) -> web.Response:
        features = request.query.getall("feature", ["TextGeneration"])
        data = []
        for name, model in sorted(self._models().items()):
            if not set(features) & set(model["spec"]["features"]):
                continue
            names = [name, *(f"{name}_{a['name']}" for a in model["spec"].get("adapters") or [])]
            data += [{"id": n, "object": "model", "owned_by": "", "features": model["spec"]["features"]} for n in names]
        return web.json_response({"object": "list", "data": data})

    async def _infer(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text())
            requested = body.get("model") if isinstance(body, dict) else None
        except ValueError as e:
            return _error(400, f"bad request: reading model from body: decoding: {e}")
        if not isinstance(requested, str) or not requested:
            return _error(400, "bad request: reading model from body: missing 'model' field")
        name, _, adapter = requested.partition("_")
        model = self._models().get(name)
        if model is None or (adapter and adapter not in {a["name"] for a in model["spec"].get("adapters") or []}):
            return _error(404, f'model not found: "{requested}"')
        self.active[requested] += 1
        try:
            await self._wake(name)
            server = await self._endpoint(name, adapter)
            route = request.path.removeprefix("/openai/v1/")
            status, answer = await server.infer(adapter or name, route, {**body, "model": adapter or name})
        finally:
            self.active[requested] -= 1
        return web.json_response(answer, status=status, headers={"X-Proxy": "lingo"})

    async def _endpoint(self, name: str, adapter: str) -> ModelServer:
        waited = False
        while True:
            found = self._endpoints(name, adapter)
            # A request that came before its adapter is never answered: the real gateway's loop does not look again.
            if found and not (waited and adapter):
                self._turn += 1
                return found[self._turn % len(found)]
            waited = True
            await asyncio.sleep(HOLD_INTERVAL)


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
