"""What stands on the cluster under a name: the primary object and its record, read together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_llmserve import registry
from airflow_provider_llmserve.errors import AccessDenied, NotFound
from airflow_provider_llmserve.platforms.base import ServingRun, Target
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.runtimes import managers, runtimes_of
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP
from airflow_provider_llmserve.runtimes.record import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Live:
    """A primary object as it is now, with its record (None: not made by us) and, where the record has one, its ConfigMap."""

    runtime: Runtime
    primary: Object
    record: Record | None
    companion: Object | None = None

    def expected(self, applied_at: datetime) -> Expected:
        """What a wait for it expects: nothing is rendered anew, the object is what was asked for."""
        record = self.record
        return Expected(
            manifest=self.primary,
            applied_at=applied_at,
            mark=record.mark if record else "",
            uid=self.uid,
            written=managers.written_at(self.primary),
        )

    @property
    def uid(self) -> str:
        """The primary's uid, which no later object of the same name has."""
        return str(self.primary["metadata"].get("uid") or "")

    @property
    def version(self) -> str:
        """The primary's resourceVersion: a write that names it fails where somebody wrote meanwhile."""
        return str(self.primary["metadata"].get("resourceVersion") or "")

    def run(self) -> ServingRun:
        """As the lifecycle sees it."""
        r, metadata = self.record, self.primary["metadata"]
        return ServingRun(
            kind=next(row.kind for row in registry.RUNTIMES if row.name == self.runtime.NAME),
            runtime=self.runtime.NAME,
            name=metadata["name"],
            uid=self.uid,
            namespace=metadata.get("namespace") or "",
            version=self.version,
            owner=r.owner if r else None,
            spec=r.spec if r else None,
            stopped=r.stopped if r else False,
            proven=r.proven if r else False,
            previous=r.previous if r else None,
            ttl=r.ttl if r else None,
            expires=r.expires if r else None,
            native=self,
        )


async def read(client: Client, namespace: str, runtime: Runtime, name: str) -> Live | None:
    """What stands under ``name`` as this runtime's primary object; None where there is none."""
    primary = await client.get(runtime.PRIMARY, namespace, name)
    if primary is None:
        return None
    companion = None
    for one in runtime.RECORD.watched(name):
        companion = await client.get(one.kind, namespace, one.name)
    return Live(runtime, primary, record_of(runtime, primary, companion), companion)


async def find(client: Client, namespace: str, target: Target) -> Live | None:
    """What the target names: by its kind, or whichever runtime's object stands there; one that we made before a stranger's.

    Raises :class:`AccessDenied` where nothing was found and not everything could be read.
    """
    found: list[Live] = []
    denied: AccessDenied | None = None
    for runtime in runtimes_of(target.kind):
        try:
            live = await read(client, namespace, runtime, target.name)
        except AccessDenied as e:
            denied = denied or e
            continue
        if live is not None:
            found.append(live)
    if not found and denied is not None:
        raise denied
    return min(found, key=lambda s: s.record is None, default=None)


async def made_by_us(client: Client, namespace: str) -> list[Live]:
    """Every primary object with our label and a record, of every runtime whose kind the cluster has.

    A kind that may not be listed is left out with a warning. Raises :class:`AccessDenied` where none of those that there are
    may be.
    """
    ours = "{}={}".format(*next(iter(records.MANAGED_BY.items())))
    found: list[Live] = []
    denied: list[AccessDenied] = []
    seen = False
    for runtime in runtimes_of():
        try:
            primaries = (await client.list(runtime.PRIMARY, namespace, labels=ours)).items
            companions: dict[str, Object] = {}
            if primaries and runtime.RECORD.watched(""):
                listing = await client.list(CONFIG_MAP, namespace, labels=ours)
                companions = {o["metadata"]["name"]: o for o in listing.items}
        except NotFound:
            continue  # its custom resource is not installed
        except AccessDenied as e:
            denied.append(e)
            continue
        seen = True
        for primary in primaries:
            companion = companions.get(records.companion_name(primary["metadata"]["name"]))
            record = record_of(runtime, primary, companion)
            if record is not None:
                found.append(Live(runtime, primary, record, companion))
    if denied and not seen:
        raise denied[0]
    for error in denied:
        log.warning("not everything could be looked at: %s", error)
    return found


def record_of(runtime: Runtime, primary: Mapping[str, Any], companion: Mapping[str, Any] | None) -> Record | None:
    """The record of a primary object that this runtime made: another may make objects of the same kind."""
    record = runtime.RECORD.read(primary, companion)
    return record if record is not None and record.runtime == runtime.NAME else None


def seen(runtime: Runtime, name: str, observed: Observed) -> tuple[Mapping[str, Any] | None, Record | None]:
    """The primary object and its record in a snapshot."""
    primary = observed.get(runtime.PRIMARY.kind, name)
    if primary is None:
        return None, None
    return primary, record_of(runtime, primary, observed.get(CONFIG_MAP.kind, records.companion_name(name)))


def same_deployment(record: Record | None, run: ServingRun) -> bool:
    """Whether the record is still that of this run: nobody has deployed anything else over it."""
    if record is None or run.owner is None:
        return record is None and run.owner is None
    return record.same_want(run.owner, run.spec, run.stopped)
