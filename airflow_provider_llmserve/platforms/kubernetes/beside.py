"""The objects beside the primary one: looked at, written, taken away. Never one of anybody else's."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_llmserve.errors import AccessDenied, Conflict, NotFound, NotOurs, Rejected
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.runtimes.belonging import Belonging, others_wrote
from airflow_provider_llmserve.runtimes.kinds import KINDS, Kind
from airflow_provider_llmserve.runtimes.parts import Manifest
from airflow_provider_llmserve.runtimes.record import Names

log = logging.getLogger(__name__)

TRIES = 10
"""Of a write whose object a controller changes at the same time (a status, say)."""


class Beside:
    """Writes what belongs to one serving run's primary object."""

    def __init__(self, client: Client, namespace: str, belonging: Belonging) -> None:
        self._client = client
        self._namespace = namespace
        self._belonging = belonging

    async def seen(self, manifest: Manifest) -> Object | None:
        """What stands in the place of one object. Raises :class:`NotOurs` where that is somebody else's."""
        there = await self._client.get(kind_of(manifest), self._namespace, name_of(manifest))
        why = self._belonging.stranger(there) if there is not None else ""
        if why:
            raise NotOurs(not_ours(manifest, why))
        return there

    async def put(self, manifest: Manifest, seen: Object | None) -> Object:
        """Write one object beside the primary over what was seen in its place, and over nothing else."""
        for attempt in range(TRIES):
            body = copy.deepcopy(manifest)
            if seen is not None:
                body["metadata"].update({"uid": seen["metadata"]["uid"], **version_of(seen)})
            try:
                written = await self._client.apply(kind_of(manifest), self._namespace, body, force=seen is not None)
            except Conflict:
                # Its version moved, or somebody else made one since: the next look tells whose it is.
                if attempt == TRIES - 1:
                    raise
                seen = await self.seen(manifest)
                continue
            if seen is None and others_wrote(written):
                await self.release(written)
                raise NotOurs(not_ours(manifest, "somebody else made it at this moment"))
            return written
        raise AssertionError("unreachable")

    async def release(self, thing: Object) -> None:
        """Take back from an object what we have just written into it: an apply of nothing gives up all that is ours there."""
        metadata = {k: thing["metadata"][k] for k in ("name", "uid")}
        nothing = {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": metadata}
        await self._client.apply(kind_of(thing), self._namespace, nothing)

    async def prune(self, gone: Names) -> None:
        """Delete what no spec has any more, as far as it is still this serving run's."""
        for api_version, kind_name, name in gone:
            kind = KINDS.get((api_version, kind_name))
            if kind is None:
                continue
            try:
                live = await self._client.get(kind, self._namespace, name)
                if live is not None and not self._belonging.stranger(live):
                    await self._client.delete(kind, self._namespace, name, uid=live["metadata"]["uid"], propagation="Background")
            except (NotFound, Conflict):
                continue
            except AccessDenied as e:
                log.warning("%s %s, which nothing needs any more, is left behind: %s", kind_name, name, e)


def not_ours(manifest: Manifest, why: str) -> str:
    """The refusal of an object that stands in the place of one of ours."""
    return (
        f"{manifest['kind']} {manifest['metadata']['name']} stands there and is not this serving run's: {why}. It is left as it is; "
        "rename it, or deploy under another name"
    )


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of a manifest. Raises :class:`Rejected` for one that no runtime may render."""
    try:
        return KINDS[(manifest["apiVersion"], manifest["kind"])]
    except KeyError:
        raise Rejected(f"no runtime may render a {manifest.get('apiVersion')} {manifest.get('kind')}") from None


def name_of(manifest: Mapping[str, Any]) -> str:
    """The name in a manifest."""
    return str(manifest["metadata"]["name"])


def version_of(thing: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a write of ours fail where the object has changed since."""
    return {"resourceVersion": thing["metadata"]["resourceVersion"]}
