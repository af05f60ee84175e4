"""A platform that keeps serving runs in a dict and says what the test tells it to: for the decisions of ``lifecycle`` alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_llmserve.endpoint import Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.errors import Conflict
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Good, ServingRun, Target, Want
from airflow_provider_llmserve.readiness.state import Assessment, ReasonClass, State


def said(state: State, reason: str, cls: ReasonClass, *, retryable: bool = True) -> Assessment:
    return Assessment(state=state, reason=reason, reason_class=cls, summary=f"it is {reason}", retryable=retryable)


STARTING = said(State.PROGRESSING, "starting", ReasonClass.WAITING)
READY = said(State.READY, "proven", ReasonClass.DONE)
BROKEN = said(State.FAILED, "image_not_found", ReasonClass.IMPOSSIBLE, retryable=False)
REPLACED = said(State.SUPERSEDED, "superseded", ReasonClass.IMPOSSIBLE)


@dataclass
class MemoryPlatform:
    """``verdicts`` are said one after the other; after the last the iterator stays silent for ever."""

    verdicts: Sequence[Assessment] = (READY,)
    findings: Sequence[str] = ()
    conflicts: int = 0
    runs: dict[str, ServingRun] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "memory"

    async def __aenter__(self) -> MemoryPlatform:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def preflight(self, want: Want) -> list[str]:
        return list(self.findings)

    async def find(self, target: Target) -> ServingRun | None:
        return self.runs.get(target.name)

    async def apply(self, want: Want, *, replacing: ServingRun | None) -> ServingRun:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody was faster")
        previous = None
        if replacing is not None and replacing.spec is not None and replacing.owner is not None:
            previous = replacing.previous or Good(replacing.spec, replacing.stopped, replacing.owner)
        run = ServingRun(
            kind=want.spec.kind,
            runtime="memory",
            name=want.name,
            uid=replacing.uid if replacing else f"uid-{len(self.writes)}",
            version=str(len(self.writes)),
            owner=want.owner,
            spec=want.spec,
            stopped=want.stopped,
            previous=previous,
        )
        self.runs[want.name] = run
        self.writes.append(f"apply {want.name}")
        self.written.set()
        return run

    async def assessments(self, run: ServingRun) -> AsyncIterator[Assessment]:
        for verdict in self.verdicts:
            yield verdict
        await asyncio.Event().wait()

    async def settle(self, run: ServingRun) -> None:
        self.runs[run.name] = replace(self.runs[run.name], previous=None)

    async def endpoint(self, run: ServingRun) -> Endpoint:
        assert run.spec is not None
        return Endpoint(
            identity=Identity(
                platform=self.name,
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
        del self.runs[run.name]
        self.writes.append(f"delete {run.name}")
