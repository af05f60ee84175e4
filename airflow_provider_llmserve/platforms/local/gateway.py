"""KubeAI's gateway on 127.0.0.1, and the routes of a standalone HuggingFace server, in front of llama.cpp.

Routes, statuses and words are those recorded from KubeAI 0.22 (``tests/machine/gateway_recorded.json``); error bodies have
OpenAI's shape. Differences on purpose: a run that is stopped or cannot start answers 503 at once where KubeAI holds the request
for ever, too many outstanding requests are 429, and ``model`` in an answer is the name that was asked for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp  # noqa: TID253 (this module is imported by the supervisor alone)
from aiohttp import web  # noqa: TID253

from airflow_provider_llmserve.platforms.local.openai_wire import (
    Assembly,
    BadRequest,
    Call,
    Translator,
    error_body,
    events,
    parse_call,
    upstream_error,
)
from airflow_provider_llmserve.platforms.local.probe import GENERATION_HEADER
from airflow_provider_llmserve.platforms.local.process import ServerProcess
from airflow_provider_llmserve.platforms.local.run import Busy, LocalRun, NotServing

log = logging.getLogger(__name__)

MAX_BODY = 64 * 2**20
TRIES = 4
"""How often a request reaches for a server, as in KubeAI, while none of the answer has been passed on."""

Runs = Callable[[], list[LocalRun]]
"""The runs that one listener serves, now."""

_RETRIED = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)


class Refused(Exception):
    """The answer is an error."""

    def __init__(self, status: int, body: dict[str, Any]):
        super().__init__(body["error"]["message"])
        self.status = status
        self.body = body


def gateway_app(runs: Runs) -> web.Application:
    """The shared gateway of all KubeAI-text runs."""
    app = _app(Gateway(runs))
    return app


def standalone_app(runs: Runs) -> web.Application:
    """One HuggingFace-serve run: the OpenAI routes, and the health routes of the Open Inference Protocol."""
    gateway = Gateway(runs, listing="huggingface")
    app = _app(gateway)
    app.router.add_get("/", _json(lambda _: {"status": "alive"}))
    app.router.add_get("/v2/health/live", _json(lambda _: {"live": True}))
    app.router.add_get("/v2/health/ready", _json(lambda _: {"ready": all(d.snapshot().ready for d in runs())}))
    app.router.add_get("/v2", _json(lambda _: {"name": "llmserve-local", "version": "1", "extensions": []}))
    app.router.add_get("/v2/models", _json(lambda _: {"models": [d.record.plan.served_name for d in runs()]}))
    app.router.add_get("/v2/models/{model:.+}/ready", gateway.model_ready)
    app.router.add_get("/v2/models/{model:.+}", gateway.model_metadata)
    return app


def _app(gateway: Gateway) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_errors])
    app.router.add_route("*", "/openai/v1/models", gateway.models)
    for path in ("/chat/completions", "/completions", "/embeddings"):
        app.router.add_route("*", f"/openai/v1{path}", gateway.infer)
    return app


def _json(of: Callable[[web.Request], dict[str, Any]]) -> Callable[[web.Request], Any]:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(of(request))

    return handler


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
        return answer
    except Refused as e:
        return web.json_response(e.body, status=e.status)
    except web.HTTPException as e:
        words = "404 page not found" if e.status == 404 else e.reason
        return web.json_response(error_body(e.status, words), status=e.status)
    except (ConnectionError, asyncio.CancelledError):
        raise  # the client went away
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return web.json_response(error_body(500, "Internal Server Error"), status=500)


class Gateway:
    """The handlers. ``listing`` says whose model list to imitate."""

    def __init__(self, runs: Runs, listing: str = "kubeai"):
        self._runs = runs
        self._listing = listing
        self._since = int(time.time())

    async def models(self, request: web.Request) -> web.Response:
        """All served names, ready or not, as KubeAI lists them: those with one of the asked features."""
        asked = set(request.query.getall("feature", ["TextGeneration"]))
        entries = []
        for run in self._runs():
            plan = run.record.plan
            for name in plan.served_names:
                entry: dict[str, Any] = {"id": name, "created": self._since, "object": "model", "owned_by": ""}
                if self._listing == "kubeai":
                    if not asked & set(plan.features):
                        continue
                    entry["features"] = list(plan.features)
                entries.append(entry)
        return web.json_response({"object": "list", "data": entries})

    async def model_ready(self, request: web.Request) -> web.Response:
        """``GET /v2/models/<name>/ready``: 503 where no replica is ready."""
        run, _ = self._find(request.match_info["model"])
        ready = bool(run.snapshot().ready)
        # huggingfaceserver says 503 for a model that is not ready; probes look at the status alone.
        return web.json_response({"name": request.match_info["model"], "ready": ready}, status=200 if ready else 503)

    async def model_metadata(self, request: web.Request) -> web.Response:
        """``GET /v2/models/<name>``: that there is one; nothing is said of its inputs and outputs."""
        name = request.match_info["model"]
        self._find(name)
        return web.json_response({"name": name, "versions": None, "platform": "", "inputs": [], "outputs": []})

    async def infer(self, request: web.Request) -> web.StreamResponse:
        """Lead one request to a server, and its answer back."""
        try:
            call = parse_call(await request.read())
        except BadRequest as e:
            raise Refused(400, error_body(400, f"bad request: reading model from body: {e}")) from None
        run, adapter = self._find(call.model)
        if request.method != "POST":
            raise Refused(405, error_body(405, "Method Not Allowed"))
        exchange = Exchange(request, call, run, adapter)
        for attempt in range(TRIES):
            try:
                async with run.lease(adapter, kind="embedding" if exchange.embeddings else "text") as server:
                    return await exchange.through(server)
            except Busy as e:
                raise Refused(429, error_body(429, str(e))) from None
            except NotServing as e:
                raise Refused(503, error_body(503, str(e))) from None
            except _RETRIED as e:
                if exchange.passed_on:
                    if request.transport is not None:
                        request.transport.abort()  # a cut answer must not look like a whole one
                    raise ConnectionResetError(str(e)) from e
                log.warning("%s: asking again: %s: %s", call.model, type(e).__name__, e)
                await asyncio.sleep(0.05 * attempt)  # a dead server is noticed meanwhile
        raise Refused(502, error_body(502, "Bad Gateway"))

    def _find(self, name: str) -> tuple[LocalRun, str | None]:
        for run in self._runs():
            names = run.names
            if name in names:
                return run, names[name]
        raise Refused(404, error_body(404, f'model not found: "{name}"', code="model_not_found", param="model"))


class Exchange:
    """One request on its way. ``passed_on`` says whether the client has seen any of the answer."""

    def __init__(self, request: web.Request, call: Call, run: LocalRun, adapter: str | None):
        self.passed_on = False
        self._request = request
        self._call = call
        self._run = run
        self._adapter = adapter
        self._path = request.path.removeprefix("/openai")
        self.embeddings = self._path.endswith("/embeddings")

    async def through(self, server: ServerProcess) -> web.StreamResponse:
        """Ask ``server`` and pass its answer on."""
        adapter_id = None if self._adapter is None else server.adapter_ids[self._adapter]
        body = self._call.upstream(adapter_id, embeddings=self.embeddings)
        headers = {GENERATION_HEADER: server.generation}
        async with server.session.post(f"http://server{self._path}", json=body) as upstream:
            if upstream.status != 200:
                raise Refused(*upstream_error(upstream.status, await upstream.read()))
            if self.embeddings:
                whole = await upstream.json(content_type=None)
                return web.json_response({**whole, "model": self._call.model}, headers=headers)
            n = self._call.body.get("n")
            translator = Translator(
                asked=self._call.model,
                completions=not self._path.endswith("/chat/completions"),
                choices=n if isinstance(n, int) else 1,
            )
            if self._call.stream:
                return await self._stream(upstream, self._mending(server, translator), headers)
            return web.json_response(await self._assemble(upstream, translator), headers=headers)

    async def _assemble(self, upstream: aiohttp.ClientResponse, translator: Translator) -> dict[str, Any]:
        assembly, buffer, done = Assembly(translator), bytearray(), False
        async for chunk in upstream.content.iter_any():
            for payload in events(buffer, chunk):
                if payload == b"[DONE]":
                    done = True
                    continue
                data = _event(payload)
                event = translator.event(data) if data is not None else None
                if event is not None:
                    assembly.add(event)
        if not done:
            raise aiohttp.ServerDisconnectedError("the stream broke off")
        return assembly.whole()

    async def _stream(
        self, upstream: aiohttp.ClientResponse, mend: Callable[[bytes], bytes], headers: Mapping[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", **headers}
        )
        async for chunk in upstream.content.iter_any():
            out = mend(chunk)
            if out:
                if not self.passed_on:
                    await response.prepare(self._request)
                    self.passed_on = True
                await response.write(out)
        if not self.passed_on:
            raise aiohttp.ServerDisconnectedError("the stream broke off before its first event")
        await response.write_eof()
        return response

    def _mending(self, server: ServerProcess, translator: Translator) -> Callable[[bytes], bytes]:
        """What is done to each piece of a stream: everything, or for one plain chat the name alone, which costs a tenth."""
        buffer = bytearray()

        def each_event(chunk: bytes) -> bytes:
            return b"".join(self._translated(payload, translator) for payload in events(buffer, chunk))

        if not self._call.plain_stream or translator.completions:
            return each_event
        # Within a JSON string the quotes would be escaped, so these bytes are a key and its value.
        theirs = b'"model":' + json.dumps(server.name).encode()
        ours = b'"model":' + json.dumps(self._call.model).encode()

        def the_name(chunk: bytes) -> bytes:
            if b'"error"' in chunk or (buffer and b'"error"' in buffer):
                return each_event(chunk)
            buffer.extend(chunk)
            end = buffer.rfind(b"\n\n") + 2
            if end < 2:
                return b""
            whole = bytes(buffer[:end])
            del buffer[:end]
            return whole.replace(theirs, ours)

        return the_name

    def _translated(self, payload: bytes, translator: Translator) -> bytes:
        if payload == b"[DONE]":
            usage = _sse(translator.usage_event()) if self._call.wants_usage else b""
            return usage + b"data: [DONE]\n\n"
        try:
            data = _event(payload)
        except Refused as e:
            if not self.passed_on:
                raise
            return _sse(e.body)
        event = translator.event(data) if data is not None else None
        return _sse(event) if event is not None else b""


def _event(payload: bytes) -> dict[str, Any] | None:
    """An event of llama.cpp's stream; None for one without content. Raises :class:`Refused` for an error."""
    data = json.loads(payload)
    if not isinstance(data, dict):
        return None  # "data: null" comes before the first token of several prompts
    if "error" in data:
        error = data["error"]
        code = error.get("code") if isinstance(error, dict) else None
        raise Refused(*upstream_error(code if isinstance(code, int) else 500, payload))
    return data


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
