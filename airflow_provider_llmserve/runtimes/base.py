"""What one way of serving on Kubernetes is: pure functions over a spec and over what was observed.

A runtime is a module with the members of :class:`RuntimeOf`. Adding a runtime is adding a module and a row in
``registry.RUNTIMES``. Nothing here does I/O, reads a clock or knows Airflow; the kubernetes platform carries out what these
functions say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.state import Ask, Verdict
from airflow_provider_llmserve.runtimes.kinds import Kind
from airflow_provider_llmserve.runtimes.managers import Part
from airflow_provider_llmserve.runtimes.parts import Call, Facts, LogTail, Lookup, Manifest, Permission, Watched
from airflow_provider_llmserve.runtimes.record_home import RecordHome
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import ServeSpec

Spec = TypeVar("Spec", bound=ServeSpec, contravariant=True)


class RuntimeOf(Protocol[Spec]):
    """The members of a module that carries specs of one class."""

    NAME: str
    """``kubeai``, ``deployment`` or ``inferenceservice``: the ``runtime`` of an endpoint's identity."""
    PRIMARY: Kind
    RECORD: RecordHome
    """Where owner and spec are recorded."""
    PARTS: tuple[Part, ...]
    """The parts of the primary object in which nobody else may set anything: what makes its pods."""
    PERMISSIONS: tuple[Permission, ...]

    def render(self, spec: Spec, *, name: str, namespace: str, stopped: bool, settings: Settings) -> list[Manifest]:
        """The manifests, primary first, without owner data; deterministic. The primary carries its mark (``runtimes.mark``)."""
        ...

    def mark_in(self, primary: Mapping[str, Any]) -> str:
        """The mark that a primary object carries; empty where there is none. Total: any field may be missing."""
        ...

    def lookups(self, spec: Spec, *, name: str, settings: Settings) -> Sequence[Lookup]:
        """What :meth:`findings` needs to know of the cluster."""
        ...

    def findings(self, spec: Spec, *, name: str, settings: Settings, facts: Facts) -> list[str]:
        """Everything that would make this deployment fail and shows before any write, each with its remedy."""
        ...

    def watched(self, name: str) -> Sequence[Watched]:
        """What :meth:`assess` needs to see."""
        ...

    def descends(self, pod: Mapping[str, Any], *, name: str, uid: str) -> bool:
        """Whether the pod comes from the object of that name (and ``uid``, where that is known), which may be gone, as may what
        stands between them. A label alone says nothing: anybody may carry it. Total: any field may be missing."""
        ...

    def assess(self, expected: Expected, observed: Observed, now: datetime) -> Verdict:
        """The verdict. Total: any field may be missing. ``now`` is timezone-aware."""
        ...

    def call(self, endpoint: Endpoint, ask: Ask) -> Call:
        """The request that answers ``ask``."""
        ...

    def endpoint(self, spec: Spec, *, identity: Identity, settings: Settings, observed: Observed) -> Endpoint:
        """Where it answers, and by which names."""
        ...


Runtime: TypeAlias = RuntimeOf[Any]
"""A runtime whose specs are of the right class because the registry chose it by them."""


@runtime_checkable
class Reading(Protocol):
    """A runtime whose verdict may rest on the log of a pod that is not the serving run's own: a controller's."""

    def logs_wanted(self, expected: Expected, observed: Observed, now: datetime) -> Sequence[LogTail]:
        """The logs that would tell more at this moment; most of the time none."""
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """A runtime whose controller shows that it has seen a write: it takes a label away, which each write brings."""

    UNSEEN: str
    """The label's key."""


@runtime_checkable
class Telling(Protocol[Spec]):
    """A runtime that has something to tell about a deployment in which nothing is wrong."""

    def notes(self, spec: Spec, *, name: str, settings: Settings) -> Sequence[str]:
        """What the deployer should know: defaults that were chosen, what a cluster will do with the spec.
        Said once, in the log."""
        ...
