"""Real weights for the stand-ins: what a cluster's model servers would hold is served by llama.cpp, through the local platform."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from support.kubeai_serving import ModelServer

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.lifecycle import serve, target_of, teardown
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText


class Weights:
    """``async with Weights(folder):`` one local run a model server, brought up to what that server holds when it is asked."""

    def __init__(self, folder: Path) -> None:
        self._platform = LocalPlatform(Settings(platform="local", state_dir=str(folder)))
        self._runs: dict[str, tuple[dict[str, Any], Endpoint]] = {}
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Weights:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()
        for _, endpoint in self._runs.values():
            await teardown(self._platform, target_of(endpoint), timeout=60)

    async def ask(
        self, server: str, url: str, adapters: Mapping[str, str], adapter: str | None, route: str, body: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer of the server that holds the model at ``url`` and ``adapters`` (name to URL), asked for one of them."""
        endpoint = await self._holding(server, url, adapters)
        assert endpoint.openai_service is not None
        asked = {**body, "model": endpoint.request_name(adapter)}
        async with self._session.post(f"{endpoint.openai_service.base_url}/{route}", json=asked) as response:
            return response.status, await response.json()

    async def _holding(self, server: str, url: str, adapters: Mapping[str, str]) -> Endpoint:
        wanted = {"url": url, "model_name": server, "adapters": [{"name": n, "url": u} for n, u in adapters.items()]}
        async with self._changing:
            held, endpoint = self._runs.get(server, ({}, None))
            if endpoint is None or held != wanted:
                spec = KubeAIText.parse(wanted)
                endpoint = await serve(self._platform, Want(spec=spec, name=spec.object_name, owner=Owner()), timeout=120)
                self._runs[server] = (wanted, endpoint)
            return endpoint


def weighty(weights: Weights, url: str) -> type[ModelServer]:
    """KubeAI's model server with the real model at ``url``, and with the adapters that the manager loads into it."""

    @dataclass
    class Weighty(ModelServer):
        async def infer(self, name: str, route: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            status, refusal = self.answer(name, route)
            if status != 200:
                return status, refusal
            adapter = None if name == self.model else name
            return await weights.ask(self.pod, url, dict(self.adapters), adapter, route, body)

    return Weighty
