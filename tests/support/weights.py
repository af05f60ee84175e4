"""Real weights for the stand-ins: what a cluster's model servers would hold is served by llama.cpp,
through the local platform."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from support.kubeai_serving import ModelServer

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.lifecycle import serve, target_of, teardown
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec


class Weights:
    """``async with Weights(folder):`` one local run a model server, brought up to what that server holds when it is asked."""

    def __init__(self, folder: Path) -> None:
        self._platform = LocalPlatform(Settings(platform="local", state_dir=str(folder)))
        self._runs: dict[str, tuple[ServeSpec, Endpoint]] = {}
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Weights:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()
        for _, endpoint in self._runs.values():
            await teardown(self._platform, target_of(endpoint), timeout=60)

    async def holding(self, server: str, spec: ServeSpec) -> Endpoint:
        """Where the weights of that server answer, once they are those of ``spec``."""
        async with self._changing:
            held = self._runs.get(server)
            if held is None or held[0] != spec:
                want = Want(spec=spec, name=spec.object_name, owner=Owner())
                held = self._runs[server] = (spec, await serve(self._platform, want, timeout=120))
            return held[1]

    async def carry(self, url: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer of a request to the weights."""
        async with self._session.post(url, json=body) as response:
            return response.status, await response.json()


def weighty(weights: Weights, url: str) -> type[ModelServer]:
    """KubeAI's model server with the real model at ``url``, and with the adapters that the manager loads into it."""

    @dataclass
    class Weighty(ModelServer):
        async def infer(self, name: str, route: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            status, refusal = self.answer(name, route)
            if status != 200:
                return status, refusal
            adapters = [{"name": n, "url": u} for n, u in self.adapters.items()]
            spec = KubeAIText.parse({"url": url, "model_name": self.pod, "adapters": adapters})
            endpoint = await weights.holding(self.pod, spec)
            assert endpoint.openai_service is not None
            asked = {**body, "model": endpoint.request_name(None if name == self.model else name)}
            return await weights.carry(f"{endpoint.openai_service.base_url}/{route}", asked)

    return Weighty


def huggingfaceserver(weights: Weights, pod: Callable[[], dict[str, Any]]) -> web.Application:
    """What answers on port 8080 of a pod, with the real weights that its containers' arguments name."""

    async def infer(request: web.Request) -> web.Response:
        spec = served_by(await asyncio.to_thread(pod))
        endpoint = await weights.holding(spec.model_name, spec)
        status, answer = await weights.carry(f"{endpoint.service.url}{request.path}", await request.json())
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_post("/openai/v1/{route:.+}", infer)
    app.router.add_post("/v2/models/{model}/infer", infer)
    return app


def served_by(pod: dict[str, Any]) -> HuggingFaceServe:
    """What a HuggingFace-serve pod is told to serve: name, task, and a hub's model or the URL that its init container fetches.

    KServe's webhook makes that container from an annotation of the pod; the stand-in leaves it at the annotation.
    """
    flags = [flag.removeprefix("--").partition("=") for flag in pod["spec"]["containers"][0]["args"]]
    given = {name: value for name, _, value in flags}
    if "model_id" in given:
        path = f"hf://{given['model_id']}"
    elif "initContainers" in pod["spec"]:
        path = pod["spec"]["initContainers"][0]["args"][0]
    else:
        path = pod["metadata"]["annotations"]["internal.serving.kserve.io/storage-initializer-sourceuri"]
    told = {"model_name": given["model_name"], "path": path, "huggingface_task": given.get("task", "text_generation")}
    return HuggingFaceServe.parse({**told, **({"return_probabilities": True} if "return_probabilities" in given else {})})
