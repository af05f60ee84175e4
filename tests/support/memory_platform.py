"""A platform that keeps serving runs in a dict and says what the test tells it to: for the decisions of ``lifecycle`` alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from airflow_provider_llmserve.endpoint import Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.errors import Conflict
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.readiness.state import ReasonClass, State, Verdict
from airflow_provider_llmserve.runtimes.record import Record, succeed


def said(state: State, reason: str, cls: ReasonClass, *, retryable: bool = True) -> Verdict:
    return Verdict(state=state, reason=reason, reason_class=cls, summary=f"it is {reason}", retryable=retryable)


STARTING = said(State.PROGRESSING, "starting", ReasonClass.WAITING)
READY = said(State.READY, "proven", ReasonClass.DONE)
BROKEN = said(State.FAILED, "image_not_found", ReasonClass.IMPOSSIBLE, retryable=False)
REPLACED = said(State.SUPERSEDED, "superseded", ReasonClass.IMPOSSIBLE)


@dataclass
class MemoryPlatform:
    """What it ``says`` is said one after the other; after the last the iterator stays silent for ever."""

    says: Sequence[Verdict] = (READY,)
    findings: Sequence[str] = ()
    conflicts: int = 0
    standing: dict[str, ServingRun] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "memory"
    fault: BaseException | None = None
    """Raised by the next write after its first object stands."""
    here: Place = field(default_factory=lambda: Place(platform="memory", cluster="here"))
    now: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)

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
        return self.standing.get(target.name)

    async def apply(
        self, want: Want, *, replacing: ServingRun | None, on_applied: Callable[[ServingRun], None] = lambda _: None
    ) -> ServingRun:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody was faster")
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
        self.writes.append(f"apply {want.name}")
        self.written.set()
        on_applied(run)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return run

    async def give_back(self, run: ServingRun, before: ServingRun) -> None:
        self.standing[run.name] = before
        self.writes.append(f"give back {run.name}")

    async def verdicts(self, run: ServingRun) -> AsyncIterator[Verdict]:
        for verdict in self.says:
            yield verdict
        await asyncio.Event().wait()

    async def wake(self, run: ServingRun) -> None:
        self.writes.append(f"wake {run.name}")

    async def settle(self, run: ServingRun) -> None:
        self.standing[run.name] = replace(self.standing[run.name], previous=None, proven=True)

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
        del self.standing[run.name]
        self.writes.append(f"delete {run.name}")
