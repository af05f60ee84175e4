"""A platform that keeps serving runs in a dict, and keeps the contract (``support.contract``); a test may have it say what
it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from airflow_provider_llmserve.endpoint import Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.errors import Conflict, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.readiness.state import ReasonClass, State, Verdict
from airflow_provider_llmserve.runtimes.record import Record, succeed
from airflow_provider_llmserve.specs import ServeSpec


def said(state: State, reason: str, cls: ReasonClass, *, retryable: bool = True, by: Owner | None = None) -> Verdict:
    summary = f"it is {reason}" + (f" by {by.in_words}" if by else "")
    return Verdict(state=state, reason=reason, reason_class=cls, summary=summary, retryable=retryable)


STARTING = said(State.PROGRESSING, "starting", ReasonClass.WAITING)
READY = said(State.READY, "proven", ReasonClass.DONE)
BROKEN = said(State.FAILED, "image_not_found", ReasonClass.IMPOSSIBLE, retryable=False)
REPLACED = said(State.SUPERSEDED, "superseded", ReasonClass.IMPOSSIBLE)
STOPPED = said(State.SCALED_TO_ZERO, "stopped", ReasonClass.STOPPED)
GONE = said(State.GONE, "disappeared", ReasonClass.IMPOSSIBLE)


@dataclass
class MemoryPlatform:
    """What it ``says`` is said one after the other; after the last the iterator stays silent for ever. Without it: what is so."""

    says: Sequence[Verdict] | None = None
    findings: Sequence[str] = ()
    conflicts: int = 0
    standing: dict[str, ServingRun] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "memory"
    fault: BaseException | None = None
    """Raised by the next deployment after its first object stands."""
    broken: Collection[ServeSpec] = ()
    """What does not come up."""
    here: Place = field(default_factory=lambda: Place(platform="memory", cluster="here"))
    now: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> MemoryPlatform:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def place(self) -> Place:
        return self.here

    async def runs(self) -> list[ServingRun]:
        return list(self.standing.values())

    async def preflight(self, want: Want) -> list[str]:
        return list(self.findings)

    async def find(self, target: Target) -> ServingRun | None:
        run = self.standing.get(target.name)
        return run if run is not None and target.kind in ("", run.kind) else None

    async def apply(
        self, want: Want, *, replacing: ServingRun | None, on_applied: Callable[[ServingRun], None] = lambda _: None
    ) -> ServingRun:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody was faster")
        stands = self.standing.get(want.name)
        if stands is None or not _same(stands, want):
            if not _is(stands, replacing):
                raise Conflict(f"{want.name} was changed by somebody else meanwhile")
            stands = self._write(want, replacing)
        on_applied(stands)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return stands

    def _write(self, want: Want, replacing: ServingRun | None) -> ServingRun:
        old = None
        if replacing is not None and replacing.owner is not None:
            old = Record(
                replacing.owner, replacing.spec, replacing.stopped, replacing.proven, replacing.previous, ttl=replacing.ttl
            )
        new = succeed(old, want.owner, want.spec, want.stopped, want.ttl)
        run = ServingRun(
            kind=want.spec.kind,
            runtime="memory",
            name=want.name,
            uid=replacing.uid if replacing else f"uid-{len(self.writes)}",
            version=str(len(self.writes)),
            owner=want.owner,
            spec=want.spec,
            stopped=want.stopped,
            proven=new.proven,
            previous=new.previous,
            ttl=want.ttl,
            expires=None if want.ttl is None else self.now + timedelta(seconds=want.ttl),
        )
        self.standing[want.name] = run
        self._note(f"apply {want.name}")
        self.written.set()
        return run

    def _note(self, write: str) -> None:
        self.writes.append(write)
        self._changed.set()
        self._changed = asyncio.Event()

    async def give_back(self, run: ServingRun, before: ServingRun) -> None:
        self.standing[run.name] = before
        self._note(f"give back {run.name}")

    async def verdicts(self, run: ServingRun) -> AsyncIterator[Verdict]:
        for verdict in self.says or ():
            yield verdict
        while self.says is None:
            changed = self._changed
            yield self._so(run)
            await changed.wait()
        await asyncio.Event().wait()

    async def wake(self, run: ServingRun) -> None:
        self._note(f"wake {run.name}")

    def _so(self, run: ServingRun) -> Verdict:
        stands = self.standing.get(run.name)
        if stands is None:
            return GONE
        if not _is(stands, run):
            return said(REPLACED.state, REPLACED.reason, REPLACED.reason_class, by=stands.owner)
        return STOPPED if run.stopped else STARTING if run.spec in self.broken else READY

    async def settle(self, run: ServingRun) -> None:
        stands = self.standing.get(run.name)
        if stands is None or not _is(stands, run) or (stands.proven and stands.previous is None):
            return
        self.standing[run.name] = replace(stands, previous=None, proven=True)
        self._note(f"settle {run.name}")

    async def endpoint(self, run: ServingRun) -> Endpoint:
        assert run.spec is not None
        return Endpoint(
            identity=Identity(
                **self.here.model_dump(),
                kind=run.kind,
                runtime=run.runtime,
                name=run.name,
                uid=run.uid,
                spec_hash=run.spec.hash,
                owner=run.owner or Owner(),
            ),
            service=Service(url="http://127.0.0.1:1"),
            openai_service=OpenAIService(base_url="http://127.0.0.1:1/openai/v1", model=run.name),
        )

    async def see_off(self, target: Target, *, timeout: float) -> None:
        self.writes.append(f"see off {target.name}")

    async def delete(self, run: ServingRun, *, timeout: float, force: bool = False) -> None:
        stands = self.standing.get(run.name)
        if stands is None or stands.uid != run.uid:
            return
        if not _is(stands, run):
            raise Superseded(f"{run.name} was deployed again meanwhile; it is left alone")
        del self.standing[run.name]
        self._note(f"delete {run.name}")


def _is(stands: ServingRun | None, run: ServingRun | None) -> bool:
    """Whether nothing was deployed over the run since it was looked at; a proof may have been recorded."""
    if stands is None or run is None:
        return stands is run
    return (stands.uid, stands.version, stands.owner, stands.spec) == (run.uid, run.version, run.owner, run.spec)


def _same(stands: ServingRun, want: Want) -> bool:
    return (stands.owner, stands.spec, stands.stopped, stands.ttl) == (want.owner, want.spec, want.stopped, want.ttl)
