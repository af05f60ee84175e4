"""The stand-in's surroundings: its login at the API server, and the world that a test decides (registry, hub, model server)."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import aiohttp
from support.cluster import Cluster
from support.controlplane import ADMIN_TOKEN
from support.kubeai_pods import Object
from support.kubeai_serving import ModelServer

MERGE = "application/merge-patch+json"


class ApiError(Exception):
    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status} {text[:300]}")


@dataclass
class World:
    """What the tests decide: what lies in the registry and the hub, how long things take, what the model server refuses."""

    ready_after: float = 0.2
    """Seconds from a pod's start to Ready."""
    fates: dict[str, list[tuple[float, Object]]] = field(default_factory=dict)
    """Image to the statuses that a kubelet would write, with the seconds before each; such a pod never gets ready by itself."""
    download: float = 0.1
    """Seconds for an adapter's or a cache's download."""
    removal: float = 0.05
    """Seconds for the loader's ``rm -rf``."""
    missing: set[str] = field(default_factory=set)
    """URLs that cannot be downloaded."""
    refused: set[str] = field(default_factory=set)
    """Adapter URLs that the model server refuses, as vLLM 0.32 does for a rank above its limit: with 500."""
    grace: float = 0.3
    """Seconds that a pod with adapters takes to end: its loader (``sleep infinity``) hears no signal. 30 s in truth."""
    without_model: set[str] = field(default_factory=set)
    """Models whose server starts without them (Ollama, issue 721)."""
    server: type[ModelServer] = ModelServer
    """What runs in a pod."""
    lease: int = 15
    """Seconds for which the manager's leases are valid."""
    pause: float = 0.3
    """The manager's sleep after it made or deleted pods; 3 s in truth."""


class Api:
    """The manager's own login, raw."""

    def __init__(self, cluster: Cluster) -> None:
        self._server = cluster.plane.server
        context = ssl.create_default_context(cafile=str(cluster.plane.folder / "apiserver.crt"))
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Object:
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, self._server + path, data=data, headers={"Content-Type": kind}) as answer:
            if answer.status >= 400:
                raise ApiError(answer.status, await answer.text())
            found: Object = await answer.json()
            return found

    async def find(self, path: str) -> Object | None:
        try:
            return await self.send("GET", path)
        except ApiError as e:
            if e.status == 404:
                return None
            raise

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Every object once, then every event; starts anew when the connection ends."""
        while True:
            try:
                listed = await self.send("GET", path)
            except ApiError as e:
                if e.status != 429:
                    raise
                await asyncio.sleep(0.1)  # a CRD that was created a moment ago
                continue
            for item in listed["items"]:
                yield "ADDED", item
            version = listed["metadata"]["resourceVersion"]
            mark = "&" if "?" in path else "?"
            url = f"{self._server}{path}{mark}watch=1&resourceVersion={version}"
            async with self._session.get(url) as stream:
                while line := await stream.content.readline():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]


def now_text() -> str:
    return datetime.fromtimestamp(time.time(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
