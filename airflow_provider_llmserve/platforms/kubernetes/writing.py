"""Make the cluster hold what is wanted: one atomic write of the primary object, the rest tied to it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_llmserve.errors import Conflict, NotFound, Rejected
from airflow_provider_llmserve.platforms.base import ServingRun, Want
from airflow_provider_llmserve.platforms.kubernetes import secrets
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.platforms.kubernetes.standing import Standing, read, same_deployment
from airflow_provider_llmserve.runtimes import base as kinds
from airflow_provider_llmserve.runtimes import ownership
from airflow_provider_llmserve.runtimes.base import CONFIG_MAP, Kind, Manifest, Runtime
from airflow_provider_llmserve.runtimes.ownership import MANAGED_BY, Record
from airflow_provider_llmserve.settings import Settings

KINDS = {(k.api_version, k.kind): k for k in vars(kinds).values() if isinstance(k, Kind)}
TRIES = 10
"""Of a write whose object a controller changes at the same time (a status, say) without changing what we compare."""


@dataclass(frozen=True)
class Plan:
    """The manifests of a want, without record and owner: the primary, the others, the Secret with values."""

    primary: Manifest
    others: tuple[Manifest, ...]

    @property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        return tuple((m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in self.others)


async def plan(want: Want, runtime: Runtime, settings: Settings) -> Plan:
    """Render a want. Raises :class:`BadInput` for a connection that gives no secret."""
    spec = ownership.resolved(want.spec, want.name)
    rendered = runtime.render(spec, name=want.name, namespace=settings.namespace, stopped=want.stopped, settings=settings)
    primary, *others = (_labelled(m) for m in rendered)
    conn_ids = ownership.connections(want.spec)
    if conn_ids:
        others.append(_labelled(secrets.manifest(ownership.companion_name(want.name), await secrets.values(conn_ids))))
    return Plan(primary, tuple(others))


class Writer:
    """Writes on behalf of one runtime."""

    def __init__(self, client: Client, settings: Settings, runtime: Runtime) -> None:
        self._client = client
        self._namespace = settings.namespace
        self._settings = settings
        self._runtime = runtime

    async def apply(self, want: Want, replacing: ServingRun | None) -> Standing:
        """Write the want over what ``replacing`` says stands there. Raises :class:`Conflict` where something else does by now."""
        todo = await plan(want, self._runtime, self._settings)
        for attempt in range(TRIES):
            live = await self._same(want.name, replacing)
            if live is not None and live.record is not None and await self._is_done(want, todo, live):
                return _noop(live)
            try:
                return await self._write(want, todo, live, force=replacing is not None)
            except Conflict:
                # The object's version moved: a controller's write lets us try again, another owner's ends it in _same.
                if replacing is None or attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def settle(self, run: ServingRun) -> None:
        """Mark the run's record as proven. Writes nothing where it is already, or where another record stands there now."""
        for attempt in range(TRIES):
            live = await read(self._client, self._namespace, self._runtime, run.name)
            record = live.record if live is not None else None
            if live is None or record is None or live.uid != run.uid or record.proven:
                return
            if not same_deployment(record, run):
                return
            try:
                await self._drop_unproven(live)
                return
            except Conflict:
                if attempt == TRIES - 1:
                    raise

    async def _drop_unproven(self, live: Standing) -> None:
        if live.companion is not None:
            body: dict[str, Any] = {"metadata": _version(live.companion), "data": {"unproven": None}}
            await self._client.patch(CONFIG_MAP, self._namespace, live.companion["metadata"]["name"], body)
            return
        body = {"metadata": {**_version(live.primary), "annotations": {ownership.PREFIX + "unproven": None}}}
        await self._client.patch(self._runtime.PRIMARY, self._namespace, live.primary["metadata"]["name"], body)

    async def _same(self, name: str, replacing: ServingRun | None) -> Standing | None:
        live = await read(self._client, self._namespace, self._runtime, name)
        if replacing is None:
            if live is not None and live.record is None:
                raise Conflict(f"{self._runtime.PRIMARY.kind} {name} was made by somebody else meanwhile", status=409)
            return live
        if live is None or live.uid != replacing.uid or not same_deployment(live.record, replacing):
            raise Conflict(f"{self._runtime.PRIMARY.kind} {name} was changed by somebody else meanwhile", status=409)
        return live

    async def _is_done(self, want: Want, todo: Plan, live: Standing) -> bool:
        """Whether the live objects are already what we would write: asked of the API server by dry runs, not guessed."""
        record = live.record
        if record is None or not record.same_want(want.owner, want.spec, want.stopped) or record.others != todo.names:
            return False
        primary = self._stamped(todo.primary, record)
        for manifest in (primary, *(_tied(m, live.primary) for m in todo.others)):
            kind = _kind(manifest)
            standing = live.primary if manifest is primary else await self._client.get(kind, self._namespace, _name(manifest))
            if standing is None:
                return False
            planned = await self._client.apply(kind, self._namespace, manifest, dry_run=True)
            if _content(planned) != _content(standing):
                return False
        return True

    async def _write(self, want: Want, todo: Plan, live: Standing | None, *, force: bool) -> Standing:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        record = ownership.succeed(live.record if live else None, want.owner, want.spec, want.stopped)
        record = replace(record, applied=now, others=todo.names)
        companion = None
        if self._runtime.RECORD == "companion":
            # First of all: it is what two writers meet at, and after a crash it still says whose the object is.
            companion = await self._write_companion(want.name, record, live)
        manifest = self._stamped(todo.primary, record)
        if live is not None:
            manifest["metadata"]["uid"] = live.uid
            if self._runtime.RECORD == "primary":
                manifest["metadata"].update(_version(live.primary))
        primary = await self._client.apply(self._runtime.PRIMARY, self._namespace, manifest, force=force)
        if companion is not None and live is None:
            tied = _tied(_companion(want.name, record), primary)
            companion = await self._client.apply(CONFIG_MAP, self._namespace, tied)
        for other in todo.others:
            await self._client.apply(_kind(other), self._namespace, _tied(other, primary))
        await self._prune(live.record.others if live and live.record else (), todo.names, primary)
        return Standing(self._runtime, primary, record, companion, before=live.primary if live else None)

    async def _write_companion(self, name: str, record: Record, live: Standing | None) -> Object:
        manifest = _companion(name, record)
        if live is not None:
            manifest = _tied(manifest, live.primary)
        if live is not None and live.companion is not None:
            manifest["metadata"].update(_version(live.companion))
        return await self._client.apply(CONFIG_MAP, self._namespace, manifest)

    async def _prune(self, before: Sequence[tuple[str, str, str]], now: Sequence[tuple[str, str, str]], primary: Object) -> None:
        """Delete what the replaced spec had and the new one has not, if it is still tied to this object."""
        for api_version, kind_name, name in set(before) - set(now):
            kind = KINDS.get((api_version, kind_name))
            live = await self._client.get(kind, self._namespace, name) if kind else None
            if kind is None or live is None or not _belongs(live, primary):
                continue
            try:
                await self._client.delete(kind, self._namespace, name, uid=live["metadata"]["uid"], propagation="Background")
            except (NotFound, Conflict):
                continue

    def _stamped(self, manifest: Manifest, record: Record) -> Manifest:
        stamped = copy.deepcopy(manifest)
        if self._runtime.RECORD == "primary":
            stamped["metadata"].setdefault("annotations", {}).update(ownership.to_annotations(ownership.write(record)))
        return stamped


def _noop(live: Standing) -> Standing:
    """A run that stands already. Where it is proven, it is itself what a rollback would put back."""
    record = live.record
    assert record is not None
    if record.proven and record.spec is not None:
        record = replace(record, previous=ownership.Proven(record.spec, record.stopped, record.owner))
    return replace(live, record=record)


def _labelled(manifest: Manifest) -> Manifest:
    labelled = copy.deepcopy(dict(manifest))
    labelled["metadata"]["labels"] = {**(labelled["metadata"].get("labels") or {}), **MANAGED_BY}
    return labelled


def _companion(name: str, record: Record) -> Manifest:
    metadata = {"name": ownership.companion_name(name), "labels": dict(MANAGED_BY)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": ownership.write(record)}


def _tied(manifest: Manifest, primary: Mapping[str, Any]) -> Manifest:
    """With an owner reference to the primary object, so that the garbage collector takes it along."""
    tied = copy.deepcopy(manifest)
    reference = {"apiVersion": primary["apiVersion"], "kind": primary["kind"]}
    reference.update({k: primary["metadata"][k] for k in ("name", "uid")})
    tied["metadata"]["ownerReferences"] = [reference]
    return tied


def _belongs(thing: Mapping[str, Any], primary: Mapping[str, Any]) -> bool:
    references = thing["metadata"].get("ownerReferences") or ()
    return any(r.get("uid") == primary["metadata"]["uid"] for r in references)


def _kind(manifest: Mapping[str, Any]) -> Kind:
    try:
        return KINDS[(manifest["apiVersion"], manifest["kind"])]
    except KeyError:
        raise Rejected(f"no runtime may render a {manifest.get('apiVersion')} {manifest.get('kind')}") from None


def _name(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


def _version(thing: Mapping[str, Any]) -> dict[str, Any]:
    return {"resourceVersion": thing["metadata"]["resourceVersion"]}


def _content(thing: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in thing["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return {k: v for k, v in thing.items() if k not in ("metadata", "status")} | {"metadata": metadata}
