"""The interface that every platform implements (``registry.PLATFORMS`` lists them) and ``lifecycle`` drives.

A platform knows how to write, read and watch serving runs; what to write and when to give up is decided above it
(``lifecycle``) and below it (``runtimes``). All of it is async, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.readiness.state import Verdict
from airflow_provider_llmserve.runtimes.record import Previous
from airflow_provider_llmserve.specs import ServeSpec


@dataclass(frozen=True)
class Want:
    """One serving run as somebody wants it.

    ``spec`` keeps its scaling while ``stopped`` is set, so that a resume returns to it. ``adopt`` allows taking over an object
    that this package did not make, or that another DAG deployed. ``ttl`` is the seconds after which it may be swept away.
    """

    spec: ServeSpec
    name: str
    owner: Owner
    stopped: bool = False
    adopt: bool = False
    ttl: float | None = None


@dataclass(frozen=True)
class Target:
    """Names a serving run: by an endpoint's identity, or by name alone."""

    name: str
    kind: str = ""
    """``kubeai-text``, ``huggingfaceserve``, or empty for whichever stands there."""
    uid: str = ""
    owner: Owner | None = None
    """The owner that the endpoint was made by; None where only a name was given."""
    spec_hash: str = ""
    place: Place | None = None
    """Where the endpoint lives; None where only a name was given."""


@dataclass(frozen=True)
class ServingRun:
    """A serving run as it stands on the platform, read back from it.

    ``version`` is whatever the platform compares for optimistic concurrency (a resourceVersion). ``owner`` is None, and so is
    ``spec``, where the object was not made by this package. ``previous`` is what a rollback puts back while this spec is not
    ``proven``. ``expires`` is when it may be swept away.
    ``native`` is the platform's own view (raw objects), for the platform alone.
    """

    kind: str
    runtime: str
    name: str
    uid: str
    namespace: str = ""
    version: str = ""
    owner: Owner | None = None
    spec: ServeSpec | None = None
    stopped: bool = False
    proven: bool = False
    previous: Previous | None = None
    ttl: float | None = None
    expires: datetime | None = None
    native: Any = None


class Platform(Protocol):
    """Where serving runs live. Used as an async context manager, which opens and closes its connections."""

    name: str

    async def __aenter__(self) -> Platform: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def place(self) -> Place:
        """Where this platform's serving runs live. Raises :class:`PlatformError` where that cannot be told."""
        ...

    async def preflight(self, want: Want) -> list[str]:
        """Everything that would make this deployment fail and can be known now, each with its remedy. Writes nothing."""
        ...

    async def find(self, target: Target) -> ServingRun | None:
        """What stands there now, or None. Raises :class:`PlatformError` where that cannot be told."""
        ...

    async def runs(self) -> list[ServingRun]:
        """Every serving run that this package made in this place. Raises :class:`PlatformError` where that cannot be told."""
        ...

    async def apply(
        self, want: Want, *, replacing: ServingRun | None, on_applied: Callable[[ServingRun], None] = lambda _: None
    ) -> ServingRun:
        """Make it so, idempotently: the same want twice writes nothing the second time.

        ``replacing`` is what :meth:`find` said; where it changed since, raises :class:`Conflict`. What it replaces is kept as
        ``previous`` (:func:`~airflow_provider_llmserve.runtimes.record.succeed`), also where only the owner is new. Nobody
        else's object is written: one that stands in the place of an object beside the primary raises :class:`NotOurs`.
        ``on_applied`` is told of the run as soon as its first object stands, before the others are written. Where this raises
        before, nothing is left; where it raises after, ``lifecycle`` takes back what stands.
        """
        ...

    async def give_back(self, run: ServingRun, before: ServingRun) -> None:
        """Put an adopted object back as ``before``, which :meth:`find` had said of it: its former spec, without our record."""
        ...

    def verdicts(self, run: ServingRun) -> AsyncIterator[Verdict]:
        """The verdict about this very run: once at once, then whenever it may have changed, at least every ten seconds.

        Asks what must be asked (one request for each served name) by itself. Never ends and never raises for a passing fault;
        whoever iterates decides when to stop.
        """
        ...

    async def wake(self, run: ServingRun) -> None:
        """Ask a run at zero once, by the base's name, so that it starts; what it answers, and whether, is no matter.

        Raises :class:`PlatformError` where it could not be asked.
        """
        ...

    async def settle(self, run: ServingRun) -> None:
        """Record that this run's spec was proven: drops ``previous``. Writes nothing where that is recorded already."""
        ...

    async def endpoint(self, run: ServingRun) -> Endpoint:
        """Where it answers."""
        ...

    async def delete(self, run: ServingRun, *, timeout: float, force: bool = False) -> None:
        """Delete this very object (by uid) and return when it and its processes are gone.

        Raises :class:`StillThere` after ``timeout`` seconds, naming what is left. ``force`` allows removing
        a finalizer that still holds it after half of that time.
        """
        ...

    async def see_off(self, target: Target, *, timeout: float) -> None:
        """Return when nothing runs any more of a serving run that :meth:`find` does not find: its object may go before its pods.

        Deletes nothing. Raises :class:`StillThere` after ``timeout`` seconds, naming what is left.
        """
        ...
