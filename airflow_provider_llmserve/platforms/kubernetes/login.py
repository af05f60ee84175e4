"""Logged-in connections to one cluster, shared by all requests and renewed before short-lived tokens expire."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.errors import AccessDenied

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_CHOICES = ("in_cluster", "kube_config", "kube_config_path")


async def hook_of(conn_id: str) -> Any:
    """The cncf provider's async hook for an Airflow connection, so that every login which that hook knows works here.

    Two things that its synchronous twin does are added: a connection that names no login is tried in the cluster first,
    and ``disable_verify_ssl`` is honoured (cncf.kubernetes 10.25.0, ``hooks/kubernetes.py::AsyncKubernetesHook._load_config``).
    """
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
    from kubernetes_asyncio.client import Configuration

    extras = await AsyncKubernetesHook(conn_id=conn_id).get_conn_extras()
    chosen = {k: extras.get(k, extras.get(f"extra__kubernetes__{k}")) for k in (*_CHOICES, "disable_verify_ssl")}
    configuration = Configuration()
    if chosen["disable_verify_ssl"]:
        configuration.verify_ssl = False
    in_cluster = True if _inside_a_pod() and not any(chosen[k] for k in _CHOICES) else None
    return AsyncKubernetesHook(
        conn_id=conn_id, connection_extras=extras, client_configuration=configuration, in_cluster=in_cluster
    )


@dataclass
class _Session:
    api: ApiClient
    stack: AsyncExitStack
    opened: float
    users: int = 0
    retired: bool = field(default=False)


class Login:
    """One cluster's sessions. ``make_hook`` gives anything with the hook's ``get_conn()``, a new one each time.

    A session is replaced after ``max_age`` seconds or when the server refused it; requests and watches that still use the
    old one keep it until they end. So an exec plugin runs once in ``max_age``, not once a request.
    """

    def __init__(self, make_hook: Callable[[], Any], *, max_age: float = 300.0) -> None:
        self._make_hook = make_hook
        self._max_age = max_age
        self._current: _Session | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ApiClient]:
        """A logged-in client of kubernetes_asyncio, as the hook made it."""
        session = await self._take()
        try:
            yield session.api
        finally:
            session.users -= 1
            await self._close_if_unused(session)

    async def refused(self, api: ApiClient) -> None:
        """The server answered 401 to this client: log in anew for the next request."""
        if self._current is not None and self._current.api is api:
            await self._retire(self._current)

    async def close(self) -> None:
        """Close the session as soon as nobody uses it."""
        if self._current is not None:
            await self._retire(self._current)

    async def _take(self) -> _Session:
        async with self._opening:
            if self._current is not None and time.monotonic() - self._current.opened > self._max_age:
                await self._retire(self._current)
            if self._current is None:
                self._current = await self._open()
            self._current.users += 1
            return self._current

    async def _open(self) -> _Session:
        stack = AsyncExitStack()
        try:
            hook = self._make_hook()
            if asyncio.iscoroutine(hook):
                hook = await hook
            api = await stack.enter_async_context(hook.get_conn())
        except Exception as e:  # whatever a kubeconfig, a plugin or a secrets backend can raise
            raise AccessDenied(f"cannot log in to the cluster: {type(e).__name__}: {e}. Check the kubernetes connection") from e
        return _Session(api, stack, time.monotonic())

    async def _retire(self, session: _Session) -> None:
        session.retired = True
        if self._current is session:
            self._current = None
        await self._close_if_unused(session)

    @staticmethod
    async def _close_if_unused(session: _Session) -> None:
        if session.retired and session.users == 0:
            await session.stack.aclose()


def _inside_a_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and SERVICE_ACCOUNT_TOKEN.exists()
