"""The routes of a standalone huggingfaceserver whose model is an encoder, on the run's own listener.

States and names are answered here, so that asking for them wakes no run at zero; predictions go to a server of the run, and its
answer back as it is. Statuses and words are those recorded from huggingfaceserver 0.20.0, but for a run that does not serve (503)
and too many outstanding requests (429).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import aiohttp  # noqa: TID253 (this module is imported by the supervisor alone)
from aiohttp import web  # noqa: TID253

from airflow_provider_llmserve.platforms.local.encoders.wire import JSON, Refused, error, openai_error
from airflow_provider_llmserve.platforms.local.gateway import TRIES, Runs
from airflow_provider_llmserve.platforms.local.probe import GENERATION_HEADER
from airflow_provider_llmserve.platforms.local.run import Busy, LocalRun, NotServing

_ELSEWHERE = frozenset({"/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/openai/v1/models"})
"""Routes that are the same for every standalone run."""
_PREDICT = re.compile(r"/v1/models/([^/]+):predict|/v2/models/([^/]+)/infer")
_STATE = re.compile(r"/v1/models/([^/]+)|/v2/models/([^/]+)/ready")
_METADATA = re.compile(r"/v2/models/([^/]+)")
_OPENAI = {
    "/openai/v1/completions": "Completions API",
    "/openai/v1/chat/completions": "Chat Completion API",
    "/openai/v1/embeddings": "",
}
_FAULTS = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)


def with_encoders(app: web.Application, runs: Runs) -> web.Application:
    """``app``, a standalone run's, answering as an encoder's server whenever the run is one."""

    @web.middleware
    async def lead(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        run = next(iter(runs()), None)
        if run is None or run.record.plan.server.encoder is None or request.path in _ELSEWHERE:
            answer: web.StreamResponse = await handler(request)
            return answer
        try:
            return await _answer(request, run)
        except Refused as e:
            return web.json_response(e.body, status=e.status)

    app.middlewares.append(lead)
    return app


async def _answer(request: web.Request, run: LocalRun) -> web.Response:
    path = request.path
    if path == "/v1/models":
        _only(request, "GET")
        return web.json_response({"models": list(run.names)})
    if match := _PREDICT.fullmatch(path):
        _only(request, "POST")
        _known(run, match[1] or match[2])
        return await _forward(request, run, path)
    if match := _STATE.fullmatch(path):
        _only(request, "GET")
        name = match[1] or match[2]
        _known(run, name)
        if not run.snapshot().ready:
            raise error(503, f"Model with name {name} is not ready.")
        return web.json_response({"name": name, "ready": True})
    if match := _METADATA.fullmatch(path):
        _only(request, "GET")
        _known(run, match[1])
        return web.json_response({"name": match[1], "versions": None, "platform": "", "inputs": [], "outputs": []})
    if path in _OPENAI:
        _only(request, "POST")
        return await _openai(request, run)
    raise Refused(404, {"detail": "Not Found"})


async def _openai(request: web.Request, run: LocalRun) -> web.Response:
    try:
        body = json.loads(await request.read())
        name = body.get("model")
    except (ValueError, AttributeError):
        raise Refused(
            422, {"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error", "input": {}}]}
        ) from None
    _known(run, name)
    if unspoken := _OPENAI[request.path]:
        raise openai_error(400, f"Model {name} does not support {unspoken}")
    return await _forward(request, run, request.path.removeprefix("/openai"))


async def _forward(request: web.Request, run: LocalRun, path: str) -> web.Response:
    """Ask a server, another one where it dies over it: a prediction can be asked twice."""
    body = await request.read()
    kind = request.headers.get("Content-Type")
    headers = {"Content-Type": kind} if kind else {}
    for attempt in range(TRIES):
        try:
            async with run.lease(None, kind="prediction") as server:
                if server.spec.encoder is None:
                    raise error(503, f"{run.record.name} is being replaced; ask again")
                # Without a content type none is made up: it decides how the server reads the body.
                asking = server.session.post(
                    f"http://server{path}", data=body, headers=headers, skip_auto_headers=["Content-Type"]
                )
                async with asking as upstream:
                    said = {GENERATION_HEADER: server.generation}
                    return web.Response(status=upstream.status, body=await upstream.read(), content_type=JSON, headers=said)
        except Busy as e:
            raise error(429, str(e)) from None
        except NotServing as e:
            raise error(503, str(e)) from None
        except _FAULTS:
            await asyncio.sleep(0.05 * attempt)  # a dead server is noticed meanwhile
    raise error(502, f"{run.record.name}: its server went away {TRIES} times over this request")


def _known(run: LocalRun, name: Any) -> None:
    if name not in run.names:
        raise error(404, f"Model with name {name} does not exist.")


def _only(request: web.Request, method: str) -> None:
    if request.method != method:
        raise Refused(405, {"detail": "Method Not Allowed"})
