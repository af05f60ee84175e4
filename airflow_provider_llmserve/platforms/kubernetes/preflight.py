"""Everything that would make a deployment fail and can be known before any write, all at once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_llmserve.errors import AccessDenied, BadInput, Conflict, NotFound, PlatformError, Rejected
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.standing import find
from airflow_provider_llmserve.platforms.kubernetes.writing import plan
from airflow_provider_llmserve.runtimes import ownership
from airflow_provider_llmserve.runtimes.base import SECRET, Facts, Lookup, Permission, Runtime
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import ServeSpec

COMPANION = Permission("", "configmaps", ("get", "list", "watch", "create", "patch"))
"""What a record in a ConfigMap needs."""
OWNED_SECRET = Permission("", "secrets", ("get", "create", "patch", "delete"))
"""What a Secret with values from Airflow connections needs."""


def permissions(runtime: Runtime, spec: ServeSpec | None = None) -> tuple[Permission, ...]:
    """What serving by this runtime (and, where given, this spec) needs."""
    needed = list(runtime.PERMISSIONS)
    if runtime.RECORD == "companion":
        needed.append(COMPANION)
    if spec is not None and ownership.connections(spec):
        needed.append(OWNED_SECRET)
    return tuple(needed)


async def findings(client: Client, settings: Settings, runtime: Runtime, want: Want) -> list[str]:
    """The findings, each with its remedy. Raises :class:`Unavailable` where the cluster cannot be asked."""
    looked, denied, dry, other = await asyncio.gather(
        _facts(client, settings, runtime, want),
        _denied(client, settings.namespace, permissions(runtime, want.spec)),
        _dry_run(client, settings, runtime, want),
        _other_runtime(client, settings, runtime, want),
    )
    spec = ownership.resolved(want.spec, want.name)
    found = runtime.findings(spec, name=want.name, settings=settings, facts=looked)
    return list(dict.fromkeys([*denied, *other, *found, *dry]))


async def _facts(client: Client, settings: Settings, runtime: Runtime, want: Want) -> Facts:
    spec = ownership.resolved(want.spec, want.name)
    lookups = list(dict.fromkeys(runtime.lookups(spec, name=want.name, settings=settings)))
    answers = await asyncio.gather(*(_look(client, settings, lookup) for lookup in lookups))
    objects: dict[Lookup, Any] = {lookup: answer[0] for lookup, answer in zip(lookups, answers, strict=True) if answer}
    if ownership.connections(want.spec):
        # Ours to make, so it is no finding that it is not there yet.
        name = ownership.companion_name(want.name)
        objects.update({k: v or {"metadata": {"name": name}} for k, v in objects.items() if (k.kind, k.name) == (SECRET, name)})
    return Facts(objects)


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


async def _dry_run(client: Client, settings: Settings, runtime: Runtime, want: Want) -> Sequence[str]:
    """What the API server says to the primary object without writing it: schema, rules, admission."""
    try:
        manifest = copy.deepcopy((await plan(want, runtime, settings)).primary)
    except BadInput as e:
        return [f"{e.subject}: {f}" for f in e.findings]
    kind = runtime.PRIMARY
    try:
        await client.apply(kind, settings.namespace, manifest, dry_run=True)
    except NotFound as e:
        if "namespace" in str(e):
            return [f"namespace {settings.namespace} does not exist; create it, or name another in the connection"]
        return [f"the cluster does not know {kind.plural}.{kind.group} {kind.version}: is its controller installed?"]
    except AccessDenied:
        return ()  # named by the permission it lacks
    except (Rejected, Conflict) as e:
        return [f"the API server refuses it: {e}"]
    return ()


async def _other_runtime(client: Client, settings: Settings, runtime: Runtime, want: Want) -> Sequence[str]:
    try:
        standing = await find(client, settings.namespace, Target(want.name, want.spec.kind))
    except PlatformError:
        return ()
    if standing is None or standing.runtime.NAME == runtime.NAME or standing.record is None:
        return ()
    return [
        f"{want.name} stands as {standing.runtime.PRIMARY.kind} (runtime {standing.runtime.NAME}); tear it down first, "
        f"or deploy the {runtime.NAME} under another name"
    ]
