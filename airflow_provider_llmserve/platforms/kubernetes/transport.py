"""Requests to a cluster's Services by way of its API server: what HTTP clients outside the cluster are given.

Both transports are httpx's, which the OpenAI client takes too, whichever of httpx and httpx2 it uses itself. Bodies are JSON, and
an answer comes whole: a streamed completion arrives in one piece, at its end.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx  # noqa: TID253 (this module is imported where a client is made)

from airflow_provider_llmserve.errors import Unavailable
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.login import hook_of
from airflow_provider_llmserve.platforms.kubernetes.wire import Slow
from airflow_provider_llmserve.runtimes.service_url import service_of

T = TypeVar("T")

LONGEST = 600.0
"""Seconds for a request whose caller names no limit; the OpenAI client's own default."""
_OF_THE_CONNECTION = {"connection", "content-encoding", "content-length", "transfer-encoding"}


def http_client(kubernetes_conn_id: str) -> httpx.Client:
    """A synchronous client whose requests go through the API server of that connection."""
    return httpx.Client(transport=BlockingApiServerTransport(kubernetes_conn_id))


def async_http_client(kubernetes_conn_id: str) -> httpx.AsyncClient:
    """An asynchronous client whose requests go through the API server of that connection."""
    return httpx.AsyncClient(transport=ApiServerTransport(kubernetes_conn_id))


class ApiServerTransport(httpx.AsyncBaseTransport):
    """Carries each request to the Service in its URL (``http://<name>.<namespace>.svc…``) through the API server.

    The answer of whoever answers is the answer, the API server's own among them: 403 names the missing permission, 503 says that
    the Service has no endpoint. Of the caller's headers none is passed on; its ``Authorization`` would not be the cluster's.

    :param kubernetes_conn_id: the Airflow connection that logs in to the cluster.
    """

    def __init__(self, kubernetes_conn_id: str) -> None:
        self._client = Client(lambda: hook_of(kubernetes_conn_id))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        service = service_of(str(request.url))
        if not service or request.method not in ("GET", "POST"):
            raise httpx.UnsupportedProtocol(f"{request.method} {request.url} cannot go through the API server", request=request)
        namespace, _, target = service.partition("/")
        try:
            answer = await self._client.proxy(
                "GET" if request.method == "GET" else "POST",
                namespace,
                target,
                request.url.raw_path.decode(),
                body=_json(request, await request.aread()),
                timeout=request.extensions.get("timeout", {}).get("read") or LONGEST,
            )
        except Unavailable as e:
            raise (httpx.ReadTimeout if isinstance(e, Slow) else httpx.ConnectError)(str(e), request=request) from e
        headers = [(name, value) for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION]
        return httpx.Response(answer.status, headers=headers, stream=httpx.ByteStream(answer.body))

    async def aclose(self) -> None:
        await self._client.__aexit__()


class BlockingApiServerTransport(httpx.BaseTransport):
    """The same for synchronous clients: its event loop runs in a thread of its own until the client is closed."""

    def __init__(self, kubernetes_conn_id: str) -> None:
        self._carrier = ApiServerTransport(kubernetes_conn_id)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="llmserve-api-server", daemon=True)
        self._thread.start()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._wait(self._carrier.handle_async_request(request))

    def close(self) -> None:
        if self._thread.is_alive():
            self._wait(self._carrier.aclose())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _json(request: httpx.Request, content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        raise httpx.UnsupportedProtocol(f"{request.url}: only JSON goes through the API server", request=request) from None
