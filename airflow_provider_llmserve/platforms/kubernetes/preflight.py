"""Everything that would make a deployment fail and can be known before any write, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_llmserve.errors import AccessDenied, BadInput, Conflict, NotFound, PlatformError, Rejected
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes import adopting, secrets
from airflow_provider_llmserve.platforms.kubernetes.beside import kind_of, name_of, not_ours
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.platforms.kubernetes.live import Live, find, read
from airflow_provider_llmserve.platforms.kubernetes.writing import Writes, writes_for
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.adoption import merge_patch
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.belonging import Belonging
from airflow_provider_llmserve.runtimes.kinds import SECRET
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup, Manifest, Permission
from airflow_provider_llmserve.runtimes.record import Record
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import ServeSpec

OWNED_SECRET = Permission("", "secrets", ("get", "create", "patch", "delete"))
"""What a Secret with values from Airflow connections needs."""


_IMMUTABLE = ". What cannot be changed in a standing object stays as it is: delete that one first, or deploy under another name"
PLACE = Permission("", "namespaces", ("get",), optional=True)
"""What tells two clusters apart."""


def permissions(runtime: Runtime, spec: ServeSpec | None = None) -> tuple[Permission, ...]:
    """What serving by this runtime (and, where given, this spec) needs."""
    needed = [*runtime.PERMISSIONS, *runtime.RECORD.PERMISSIONS, PLACE]
    if spec is not None and records.connections(spec):
        needed.append(OWNED_SECRET)
    return tuple(needed)


async def findings(client: Client, settings: Settings, runtime: Runtime, want: Want) -> list[str]:
    """The findings, each with its remedy. Raises :class:`Unavailable` where the cluster cannot be asked."""
    try:
        secret = await secrets.for_want(client, settings.namespace, want, await _record(client, settings, runtime, want))
        todo = writes_for(want, runtime, settings, secret)
    except BadInput as e:
        return [f"{e.subject}: {f}" for f in e.findings]
    looked, denied, refused, other = await asyncio.gather(
        _facts(client, settings, runtime, want.name, todo),
        _denied(client, settings.namespace, [*permissions(runtime, want.spec), *_to_write(todo)]),
        _refusals(client, settings, runtime, want, todo),
        _other_runtime(client, settings, runtime, want),
    )
    found = runtime.findings(todo.spec, name=want.name, settings=settings, facts=looked)
    return list(dict.fromkeys([*denied, *other, *found, *refused]))


async def announce(client: Client, settings: Settings, runtime: Runtime, want: Want) -> None:
    """Where the name is a stranger's, say in the log what adopting it will change."""
    live = await _adopted(client, settings, runtime, want)
    if live is not None:
        planned = writes_for(want, runtime, settings).primary
        await adopting.announce(client, settings.namespace, runtime, planned, live.primary)


async def _record(client: Client, settings: Settings, runtime: Runtime, want: Want) -> Record | None:
    """Of what stands there, where that may be read."""
    try:
        live = await read(client, settings.namespace, runtime, want.name)
    except AccessDenied:
        return None
    return live.record if live is not None else None


def _to_write(todo: Writes) -> list[Permission]:
    """The rights without which an object that this spec renders could not be written, put back and taken away again."""
    kinds = {kind_of(m) for m in todo.beside}
    return [Permission(k.group, k.plural, ("get", "create", "patch", "delete")) for k in kinds]


async def _facts(client: Client, settings: Settings, runtime: Runtime, name: str, todo: Writes) -> Facts:
    lookups = list(dict.fromkeys(runtime.lookups(todo.spec, name=name, settings=settings)))
    answers = await asyncio.gather(*(_look(client, settings, lookup) for lookup in lookups))
    objects: dict[Lookup, Any] = {lookup: answer[0] for lookup, answer in zip(lookups, answers, strict=True) if answer}
    # Ours to make, so it is no finding that it is not there yet.
    ours = {Lookup(SECRET, name_of(m)): m for m in todo.beside if kind_of(m) == SECRET}
    return Facts({lookup: found or ours.get(lookup) for lookup, found in objects.items()})


async def _look(client: Client, settings: Settings, lookup: Lookup) -> tuple[Any] | None:
    try:
        return (await client.get(lookup.kind, lookup.namespace or settings.namespace, lookup.name),)
    except AccessDenied:
        return None


async def _denied(client: Client, namespace: str, needed: Iterable[Permission]) -> list[str]:
    asked = sorted({(verb, p.group, p.resource) for p in needed if not p.optional for verb in p.verbs})
    allowed = await asyncio.gather(*(client.may(namespace, *question) for question in asked))
    missing: dict[str, list[str]] = {}
    for (verb, group, resource), yes in zip(asked, allowed, strict=True):
        if not yes:
            missing.setdefault(f"{resource}.{group}" if group else resource, []).append(verb)
    return [
        f"the kubernetes connection may not {', '.join(verbs)} {resource} in namespace {namespace}; deploy/rbac.yaml grants it"
        for resource, verbs in sorted(missing.items())
    ]


async def _refusals(client: Client, settings: Settings, runtime: Runtime, want: Want, todo: Writes) -> list[str]:
    """What is in the way of each object that would be written: somebody else's in its place, or the API server's refusal."""
    belonging = Belonging(runtime.PRIMARY, want.name)
    beside = [*todo.beside, *todo.companion(runtime, want)]
    answers = await asyncio.gather(
        _primary(client, settings, runtime, want, todo), *(_beside(client, settings, belonging, m) for m in beside)
    )
    return [finding for found in answers for finding in found]


async def _beside(client: Client, settings: Settings, belonging: Belonging, manifest: Manifest) -> Sequence[str]:
    try:
        there = await client.get(kind_of(manifest), settings.namespace, name_of(manifest))
    except AccessDenied:
        return ()  # named by the permission it lacks
    why = belonging.stranger(there) if there is not None else ""
    return [not_ours(manifest, why)] if why else await _dry_run(client, settings, manifest)


async def _primary(client: Client, settings: Settings, runtime: Runtime, want: Want, todo: Writes) -> Sequence[str]:
    live = await _adopted(client, settings, runtime, want)
    return await _dry_run(client, settings, todo.primary, over=live.primary if live else None)


async def _adopted(client: Client, settings: Settings, runtime: Runtime, want: Want) -> Live | None:
    """The stranger's object that this want would take over."""
    if not want.adopt:
        return None
    try:
        live = await read(client, settings.namespace, runtime, want.name)
    except AccessDenied:
        return None  # named by the permission it lacks
    return live if live is not None and live.record is None else None


async def _dry_run(client: Client, settings: Settings, manifest: Manifest, *, over: Object | None = None) -> Sequence[str]:
    """What the API server says to one object without writing it: schema, rules, admission, quota.

    ``over`` is a stranger's object that is adopted: then its spec is replaced, since an apply would leave in what the former
    managers set, and be refused for that.
    """
    kind, namespace = kind_of(manifest), settings.namespace
    try:
        if over is None:
            await client.apply(kind, namespace, manifest, dry_run=True)
        else:
            body = {"spec": merge_patch(over.get("spec") or {}, manifest["spec"])}
            await client.patch(kind, namespace, name_of(manifest), body, dry_run=True)
    except NotFound as e:
        if "namespace" in str(e):
            return [f"namespace {settings.namespace} does not exist; create it, or name another in the connection"]
        return [f"the cluster does not know {kind.plural}.{kind.group} {kind.version}: is its controller installed?"]
    except AccessDenied:
        return ()  # named by the permission it lacks
    except (Rejected, Conflict) as e:
        return [f"the API server refuses it: {e}{_IMMUTABLE if 'field is immutable' in str(e) else ''}"]
    return ()


async def _other_runtime(client: Client, settings: Settings, runtime: Runtime, want: Want) -> Sequence[str]:
    try:
        live = await find(client, settings.namespace, Target(want.name, want.spec.kind))
    except PlatformError:
        return ()
    if live is None or live.runtime.NAME == runtime.NAME or live.record is None:
        return ()
    return [
        f"{want.name} stands as {live.runtime.PRIMARY.kind} (runtime {live.runtime.NAME}); tear it down first, "
        f"or deploy the {runtime.NAME} under another name"
    ]
