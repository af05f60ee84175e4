"""One async client of the Kubernetes API: raw JSON in and out, typed errors, retries, watches that end by themselves.

Every verb may be repeated safely: applies and patches set values, deletes name a uid, the rest reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_llmserve.errors import NotFound, PlatformError, Unavailable
from airflow_provider_llmserve.platforms.deadline import seconds_left
from airflow_provider_llmserve.platforms.kubernetes import wire
from airflow_provider_llmserve.platforms.kubernetes.clock import ClusterClock
from airflow_provider_llmserve.platforms.kubernetes.login import Login
from airflow_provider_llmserve.platforms.kubernetes.wire import Answer, Request
from airflow_provider_llmserve.runtimes.kinds import Kind
from airflow_provider_llmserve.runtimes.record import FIELD_MANAGER

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from kubernetes_asyncio.client import ApiClient

log = logging.getLogger(__name__)

Object = dict[str, Any]

PAGE = 500
"""Objects of one page of a list."""
SHORTEST = 1.0
"""Seconds that a request is given at least, however little the caller has left."""
SILENCE = 100
"""Seconds without a byte after which a watch counts as cut; the server sends a bookmark about every minute."""


@dataclass(frozen=True)
class Listing:
    """A whole collection, and the version to watch it from."""

    items: tuple[Object, ...]
    version: str


class Client:
    """Verbs on one cluster. ``make_hook`` gives the cncf provider's async hook, or one of its kind (GKE's),
    or a coroutine of one.

    ``timeout`` is for one try of one request, in seconds; a request is tried ``tries`` times while the server is away,
    overloaded or failing, with pauses that honour Retry-After (at most ``patience`` seconds each).
    """

    def __init__(self, make_hook: Callable[[], Any], *, timeout: float = 30.0, tries: int = 7, patience: float = 30.0) -> None:
        self._login = Login(make_hook)
        self._clock = ClusterClock()
        self._warned: set[str] = set()
        self._timeout = timeout
        self._tries = tries
        self._patience = patience

    def now(self) -> datetime:
        """The cluster's time."""
        return self._clock.now()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._login.close()

    async def apply(
        self,
        kind: Kind,
        namespace: str,
        manifest: Mapping[str, Any],
        *,
        force: bool = True,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
    ) -> Object:
        """Server-side apply. Writes nothing where nothing changes. Raises :class:`Conflict` where a ``uid`` or
        ``resourceVersion`` in the manifest is not the live one, or (without ``force``) where another manager owns a field."""
        return await self._object(wire.apply(kind, namespace, manifest, force=force, dry_run=dry_run, manager=manager))

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, or None where there is none (404 and nothing else)."""
        try:
            return await self._object(wire.request("get", "GET", kind, namespace, name))
        except NotFound:
            return None

    async def list(self, kind: Kind, namespace: str, *, labels: str = "", fields: str = "") -> Listing:
        """The whole collection, read in pages. ``kind`` and ``apiVersion`` are put into each item, as a list leaves them out."""
        items: list[Object] = []
        after = ""
        while True:
            page = await self._object(wire.listing(kind, namespace, labels=labels, fields=fields, page=PAGE, after=after))
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            after = metadata.get("continue") or ""
            if not after:
                return Listing(tuple(items), str(metadata.get("resourceVersion") or ""))

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        *,
        version: str,
        labels: str = "",
        fields: str = "",
        seconds: int = wire.WATCH_SECONDS,
    ) -> AsyncGenerator[Object, None]:
        """The events after ``version``, until the server closes the stream: the end says nothing about the objects. The first
        says that the stream is open (type ``OPENED``, without an object).

        Raises :class:`~wire.Expired` (410, as a status or as an event), :class:`AccessDenied`, :class:`Unavailable`: whoever
        iterates lists again and goes on from there.
        """
        import aiohttp

        req = wire.watching(kind, namespace, labels=labels, fields=fields, version=version, seconds=seconds)
        timeout = aiohttp.ClientTimeout(total=seconds + 30, sock_connect=10, sock_read=SILENCE)
        lines = wire.Lines()
        async with self._exchange(req, timeout) as response:
            yield {"type": "OPENED"}
            try:
                async for data in response.content.iter_any():
                    for event in lines.feed(data):
                        error = wire.event_fault(req, event)
                        if error is not None:
                            raise error
                        yield event
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as e:
                raise wire.unreachable(req, f"watch cut: {type(e).__name__} {e}") from e

    async def patch(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """JSON merge patch: None removes a key, ``metadata.resourceVersion`` in it is a precondition."""
        return await self._object(wire.patch(kind, namespace, name, body, dry_run=dry_run))

    async def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> Object:
        """Set the number of replicas through the scale subresource."""
        return await self._object(wire.patch(kind, namespace, name, {"spec": {"replicas": replicas}}, "scale"))

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        version: str = "",
        propagation: Literal["Foreground", "Background", "Orphan"] = "Foreground",
    ) -> None:
        """Ask for the deletion of this very object. Raises :class:`NotFound`, or :class:`Conflict` where it is another one."""
        await self.send(wire.delete(kind, namespace, name, uid=uid, version=version, propagation=propagation))

    async def logs(self, namespace: str, pod: str, container: str, *, tail: int = 100, previous: bool = False) -> str:
        """The last ``tail`` lines of a container; ``previous`` is the run before its last restart."""
        return (await self.send(wire.logs(namespace, pod, container, tail=tail, previous=previous))).text()

    async def may(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Whether this login may do that."""
        review = await self._object(wire.access_review(namespace, verb, group, resource))
        return bool((review.get("status") or {}).get("allowed"))

    async def proxy(
        self,
        method: Literal["GET", "POST"],
        namespace: str,
        target: str,
        path: str,
        *,
        body: Any = None,
        pod: bool = False,
        timeout: float = 10.0,
    ) -> Answer:
        """One request to a Service (``name:port``) or pod through the API server, tried once; any status is an answer.

        Raises :class:`~wire.Slow` where it is not answered in time, :class:`Unavailable` where the API server is not reached.
        """
        return await self._once(wire.proxied(method, namespace, target, path, body, pod=pod), timeout)

    async def send(self, req: Request) -> Answer:
        """Send and read, again while that can help and the caller waits (:func:`~platforms.deadline.until`). A write that is
        tried again is said in the log, with why. Raises the typed error of the last answer, or of none where there was none."""
        told: PlatformError | None = None
        for attempt in range(self._tries):
            asked_for = 0.0
            asked_at = datetime.now(timezone.utc)
            fault: PlatformError
            try:
                answer = await self._once(req, min(self._timeout, max(seconds_left(), SHORTEST)))
            except Unavailable as e:
                fault, again = e, True
            else:
                self._clock.hear(answer.headers.get("date", ""), asked_at, datetime.now(timezone.utc))
                self._warn(req, answer)
                if answer.status < 300:
                    return answer
                fault = told = wire.fault(req, answer)
                # The first 401 may be a token that has just expired: _once logged out, so one more try tells.
                again = isinstance(fault, Unavailable) or (answer.status == 401 and attempt == 0)
                asked_for = min(fault.retry_after, self._patience)
            pause = max(wire.back_off(attempt), asked_for)
            if not again or attempt == self._tries - 1 or pause >= seconds_left():
                raise told or fault
            log.log(logging.WARNING if req.method != "GET" and not attempt else logging.DEBUG, "%s; trying again", fault)
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _warn(self, req: Request, answer: Answer) -> None:
        for said in wire.warnings_in(answer):
            if said not in self._warned:
                self._warned.add(said)
                log.warning("%s %s: the API server warns: %s", req.verb, req.subject, said)

    async def _object(self, req: Request) -> Object:
        answer = await self.send(req)
        try:
            value = answer.json()
        except ValueError:
            raise Unavailable(f"{req.verb} {req.subject}: the answer is not JSON: {answer.text()[:200]!r}") from None
        return value if isinstance(value, dict) else {}

    async def _once(self, req: Request, timeout: float) -> Answer:
        import aiohttp

        # Half of a short limit, or a connection that is not made would look like an answer that does not come.
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=min(10.0, timeout / 2))
        async with self._login.session() as api:
            try:
                response = await _send(api, req, limit)
                async with response:
                    body = await response.read()
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as e:
                if isinstance(e, asyncio.TimeoutError) and not isinstance(e, aiohttp.ClientError):
                    raise wire.too_slow(req, timeout) from e
                raise wire.unreachable(req, f"{type(e).__name__} {e}".strip()) from e
            if response.status == 401:
                await self._login.refused(api)
            # Its library follows redirects, and cannot be told not to: what was asked is what answered first.
            status = response.history[0].status if response.history else response.status
            return Answer(status, body, {k.lower(): ", ".join(response.headers.getall(k)) for k in response.headers})

    @asynccontextmanager
    async def _exchange(self, req: Request, timeout: Any) -> AsyncIterator[ClientResponse]:
        """An answer whose body is read as it comes."""
        import aiohttp

        async with self._login.session() as api:
            try:
                response = await _send(api, req, timeout)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as e:
                raise wire.unreachable(req, f"{type(e).__name__} {e}".strip()) from e
            async with response:
                if response.status >= 300:
                    if response.status == 401:
                        await self._login.refused(api)
                    headers = {k.lower(): v for k, v in response.headers.items()}
                    raise wire.fault(req, Answer(response.status, await response.read(), headers))
                yield response


async def _send(api: ApiClient, req: Request, timeout: Any) -> ClientResponse:
    headers = {**api.default_headers, "Accept": "application/json, */*", "Content-Type": req.content_type}
    query = list(req.query)
    await api.update_params_for_auth(headers, query, ["BearerToken"])
    rest: Any = api.rest_client  # its stubs know neither pairs as query nor an unread answer
    response: ClientResponse = await rest.request(
        req.method,
        f"{api.configuration.host}{req.path}",
        query_params=query or None,
        headers=headers,
        body=req.body,
        _preload_content=False,
        _request_timeout=timeout,
    )
    return response
