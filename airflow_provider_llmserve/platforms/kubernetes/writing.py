"""Make the cluster hold what is wanted: one atomic write of the primary object, the rest tied to it.

Nothing of anybody else's is written: every object beside the primary is looked at first, and what was seen of it goes into
the write as its precondition.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_llmserve.errors import Conflict, LLMServeError
from airflow_provider_llmserve.platforms.base import ServingRun, Want
from airflow_provider_llmserve.platforms.kubernetes import adopting, secrets
from airflow_provider_llmserve.platforms.kubernetes.beside import Beside, kind_of, name_of, version_of
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.platforms.kubernetes.live import Live, read, same_deployment
from airflow_provider_llmserve.readiness.fields import at
from airflow_provider_llmserve.runtimes import managers
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.base import Acknowledging, Runtime
from airflow_provider_llmserve.runtimes.belonging import Belonging, others_wrote
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP
from airflow_provider_llmserve.runtimes.parts import Manifest
from airflow_provider_llmserve.runtimes.record import MANAGED_BY, Record
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import ServeSpec

OnApplied = Callable[[ServingRun], None]

log = logging.getLogger(__name__)

NUMBER_KEEPER = f"{records.FIELD_MANAGER}-replicas"
"""Who holds a number of replicas that we leave to others, until one of them sets it."""
TRIES = 10
"""Of a write whose object a controller changes at the same time (a status, say) without changing what we compare."""


@dataclass(frozen=True)
class Writes:
    """The manifests of a want, without record and owner."""

    spec: ServeSpec
    """As the runtime reads it: connections stand for the Secret with their values."""
    primary: Manifest
    others: tuple[Manifest, ...]
    secret: Manifest | None = None
    """The Secret with the values of its connections, which pods need: it is written before the primary."""

    @property
    def beside(self) -> tuple[Manifest, ...]:
        """All but the primary."""
        return self.others if self.secret is None else (*self.others, self.secret)

    @property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        """``(apiVersion, kind, name)`` of those, as the record lists them."""
        return tuple(_named(m) for m in self.beside)

    def record(self, runtime: Runtime, record: Record) -> Record:
        """The record with what these writes make."""
        secret = name_of(self.secret) if self.secret is not None else ""
        mark = runtime.mark_in(self.primary)
        return replace(record, others=self.names, runtime=runtime.NAME, mark=mark, secret=secret)

    def companion(self, runtime: Runtime, want: Want) -> tuple[Manifest, ...]:
        """The ConfigMap of the record of a first deployment, where the runtime keeps one."""
        record = self.record(runtime, Record(want.owner, want.spec, want.stopped, ttl=want.ttl))
        made = runtime.RECORD.companion(want.name, record)
        return () if made is None else (made,)


def writes_for(want: Want, runtime: Runtime, settings: Settings, secret: Manifest | None = None) -> Writes:
    """Render a want; ``secret`` holds the values of its connections."""
    spec = records.resolved(want.spec, name_of(secret)) if secret is not None else want.spec
    manifests = runtime.render(spec, name=want.name, namespace=settings.namespace, stopped=want.stopped, settings=settings)
    primary, *others = (_labelled(m) for m in manifests)
    return Writes(spec, primary, tuple(others), secret)


class Writer:
    """Writes on behalf of one runtime."""

    def __init__(self, client: Client, settings: Settings, runtime: Runtime) -> None:
        self._client = client
        self._namespace = settings.namespace
        self._settings = settings
        self._runtime = runtime

    async def apply(self, want: Want, replacing: ServingRun | None, on_applied: OnApplied) -> Live:
        """Write the want over what ``replacing`` says stands there. Raises :class:`Conflict` where something else does by now."""
        for attempt in range(TRIES):
            live = await self._same(want, replacing)
            secret = await secrets.for_want(self._client, self._namespace, want, live.record if live else None)
            todo = writes_for(want, self._runtime, self._settings, secret)
            if live is not None and live.record is not None and await self._is_done(want, todo, live):
                on_applied(live.run())
                return live
            try:
                return await self._write(want, todo, live, on_applied, force=replacing is not None)
            except Conflict:
                # The object's version moved: a controller's write lets us try again, another owner's ends it in _same.
                if replacing is None or attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def settle(self, run: ServingRun) -> None:
        """Mark the run's record as proven, and delete what only earlier specs had. Writes nothing where that is done already, or
        where another record stands there now."""
        for attempt in range(TRIES):
            live = await read(self._client, self._namespace, self._runtime, run.name)
            record = live.record if live is not None else None
            if live is None or record is None or live.uid != run.uid or (record.proven and not record.stale):
                return
            if not same_deployment(record, run):
                return
            await Beside(self._client, self._namespace, self._of(run.name)).prune(record.stale)
            try:
                await self._mark_proven(live)
                return
            except Conflict:
                if attempt == TRIES - 1:
                    raise

    async def _mark_proven(self, live: Live) -> None:
        home = live.companion or live.primary
        body = self._runtime.RECORD.without(("unproven", "stale"))
        body["metadata"] = {**body.get("metadata", {}), **version_of(home)}
        await self._client.patch(kind_of(home), self._namespace, name_of(home), body)

    async def _same(self, want: Want, replacing: ServingRun | None) -> Live | None:
        name = want.name
        live = await read(self._client, self._namespace, self._runtime, name)
        if replacing is None:
            record = live.record if live is not None else None
            if live is not None and (record is None or not record.same_want(want.owner, want.spec, want.stopped)):
                raise Conflict(f"{self._runtime.PRIMARY.kind} {name} was made by somebody else meanwhile", status=409)
            return live
        if live is None or live.uid != replacing.uid or not same_deployment(live.record, replacing):
            raise Conflict(f"{self._runtime.PRIMARY.kind} {name} was changed by somebody else meanwhile", status=409)
        return live

    async def _is_done(self, want: Want, todo: Writes, live: Live) -> bool:
        """Whether the live objects are already what we would write: asked of the API server by dry runs, not guessed."""
        record = live.record
        if record is None or not record.same_want(want.owner, want.spec, want.stopped):
            return False
        if (record.others, record.ttl) != (todo.names, want.ttl) or managers.theirs(live.primary, self._runtime.PARTS):
            return False
        primary = self._runtime.RECORD.stamped(todo.primary, record)
        for manifest in (primary, *(_tied(m, live.primary) for m in todo.others)):
            kind = kind_of(manifest)
            there = live.primary if manifest is primary else await self._client.get(kind, self._namespace, name_of(manifest))
            if there is None or (manifest is not primary and self._of(want.name).stranger(there)):
                return False
            planned = await self._client.apply(kind, self._namespace, manifest, dry_run=True)
            if _content(planned) != _content(there):
                return False
        return True

    async def _write(self, want: Want, todo: Writes, live: Live | None, on_applied: OnApplied, *, force: bool) -> Live:
        now = self._client.now().isoformat(timespec="seconds")
        record = records.succeed(live.record if live else None, want.owner, want.spec, want.stopped, want.ttl)
        record = replace(todo.record(self._runtime, record), applied=now)
        gone = record.gone_with(live.record if live else None)
        taken_back = record.puts_back(live.record if live else None)
        record = replace(record, stale=() if taken_back else gone)
        beside = Beside(self._client, self._namespace, self._of(want.name))
        seen = [await beside.seen(other) for other in todo.others]  # before anything is written
        before = live.primary if live else None
        if live is not None and live.record is None:
            live = await adopting.take_over(self._client, self._namespace, live)
        elif live is not None:
            live = await adopting.take_back(self._client, self._namespace, live)
        # First of all: it is what two writers meet at, and after a crash it still says whose the object is.
        companion = await self._write_companion(beside, want.name, record, live)
        secret = await self._write_secret(beside, todo.secret, live)
        try:
            primary = await self._write_primary(todo.primary, record, live, force=force)
        except BaseException:
            await self._unwritten(want.name, live, before, companion, record)
            await beside.prune(() if secret is None else (_named(secret),))
            raise
        on_applied(Live(self._runtime, primary, record, companion).run())
        planned = self._runtime.RECORD.companion(want.name, record)
        if planned is not None and live is None:
            companion = await beside.put(_tied(planned, primary), companion)
        if todo.secret is not None and secret is not None:
            await beside.put(_tied(todo.secret, primary), secret)
        for other, there in zip(todo.others, seen, strict=True):
            await beside.put(_tied(other, primary), there)
        if taken_back:
            await beside.prune(gone)
        return Live(self._runtime, primary, record, companion)

    def _of(self, name: str) -> Belonging:
        return Belonging(self._runtime.PRIMARY, name)

    async def _write_primary(self, planned: Manifest, record: Record, live: Live | None, *, force: bool) -> Object:
        manifest = self._runtime.RECORD.stamped(planned, record)
        if isinstance(self._runtime, Acknowledging):
            manifest["metadata"]["labels"][self._runtime.UNSEEN] = "true"
        if live is not None:
            manifest["metadata"]["uid"] = live.uid
            live = await self._number_handed_over(live, manifest)
            if live.companion is None:  # else two writers have met at that already
                manifest["metadata"].update(version_of(live.primary))
        primary = await self._client.apply(self._runtime.PRIMARY, self._namespace, manifest, force=force)
        if live is None and others_wrote(primary):
            await Beside(self._client, self._namespace, self._of(name_of(manifest))).release(primary)
            raise Conflict(f"{self._runtime.PRIMARY.kind} {name_of(manifest)} was made by somebody else meanwhile", status=409)
        return primary

    async def _number_handed_over(self, live: Live, planned: Manifest) -> Live:
        """Where a number of replicas was ours and is not asked for any more: without another owner it would fall back to one."""
        number = at(live.primary, "spec", "replicas")
        if "replicas" in planned["spec"] or not number or not managers.number_is_ours(live.primary):
            return live
        about = {"apiVersion": planned["apiVersion"], "kind": planned["kind"]}
        metadata = {"name": name_of(live.primary), "uid": live.uid, **version_of(live.primary)}
        body = {**about, "metadata": metadata, "spec": {"replicas": number}}
        handed = await self._client.apply(self._runtime.PRIMARY, self._namespace, body, manager=NUMBER_KEEPER)
        return replace(live, primary=handed)

    async def _write_companion(self, beside: Beside, name: str, record: Record, live: Live | None) -> Object | None:
        manifest = self._runtime.RECORD.companion(name, record)
        if manifest is None:
            return None
        if live is not None:
            manifest = _tied(manifest, live.primary)
        if live is None or live.companion is None:
            return await beside.put(manifest, await beside.seen(manifest))
        # Not again after a conflict: two writers meet here, and one must be told.
        manifest["metadata"].update(version_of(live.companion))
        return await self._client.apply(CONFIG_MAP, self._namespace, manifest)

    async def _write_secret(self, beside: Beside, secret: Manifest | None, live: Live | None) -> Object | None:
        """The Secret that this very write makes; None where there is none, or it stands."""
        if secret is None or await beside.seen(secret) is not None:
            return None
        return await beside.put(_tied(secret, live.primary) if live is not None else secret, None)

    async def _unwritten(
        self, name: str, live: Live | None, before: Object | None, companion: Object | None, record: Record
    ) -> None:
        """The primary object could not be written: leave nothing of what went before it. Never hides why."""
        try:
            if live is not None and live.record is None and before is not None:
                failed = Live(self._runtime, live.primary, record, companion)
                await adopting.give_back(self._client, self._namespace, failed, before)
            elif (
                live is None
                and companion is not None
                and await self._client.get(self._runtime.PRIMARY, self._namespace, name) is None
            ):
                uid = companion["metadata"]["uid"]
                await self._client.delete(CONFIG_MAP, self._namespace, name_of(companion), uid=uid, propagation="Background")
        except LLMServeError as e:
            log.warning("%s %s was not written, and its record is left behind: %s", self._runtime.PRIMARY.kind, name, e)


def _named(thing: Mapping[str, Any]) -> tuple[str, str, str]:
    return (thing["apiVersion"], thing["kind"], thing["metadata"]["name"])


def _labelled(manifest: Manifest) -> Manifest:
    labelled = copy.deepcopy(dict(manifest))
    labelled["metadata"]["labels"] = {**(labelled["metadata"].get("labels") or {}), **MANAGED_BY}
    return labelled


def _tied(manifest: Manifest, primary: Mapping[str, Any]) -> Manifest:
    """With an owner reference to the primary object, so that the garbage collector takes it along."""
    tied = copy.deepcopy(manifest)
    reference = {"apiVersion": primary["apiVersion"], "kind": primary["kind"]}
    reference.update({k: primary["metadata"][k] for k in ("name", "uid")})
    tied["metadata"]["ownerReferences"] = [reference]
    return tied


def _content(thing: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in thing["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return {k: v for k, v in thing.items() if k not in ("metadata", "status")} | {"metadata": metadata}
