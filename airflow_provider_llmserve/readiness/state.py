"""The words every verdict is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """What a serving run is. Anything that is not proven is not ``READY``."""

    PROGRESSING = "progressing"
    READY = "ready"
    SCALED_TO_ZERO = "scaled_to_zero"
    DEGRADED = "degraded"
    """Something serves, but not (all of) what was asked for, and something is in the way."""
    FAILED = "failed"
    """Nothing serves, and something is in the way."""
    SUPERSEDED = "superseded"
    UNMANAGED = "unmanaged"
    """No controller looks at the object."""
    DELETING = "deleting"
    GONE = "gone"


class ReasonClass(str, Enum):
    """What a reason means for somebody who waits."""

    WAITING = "waiting"
    """May still come right by itself: never ends a wait before its deadline."""
    IMPOSSIBLE = "impossible"
    """Will not come right by itself: ends the wait at once."""
    STOPPED = "stopped"
    """Nothing runs, on purpose."""
    DONE = "done"
    """Proven."""


class Outcome(str, Enum):
    """How a verdict ends a wait, if it does."""

    WAITING = "waiting"
    SUCCESS = "success"
    FAILED = "failed"
    """Nothing that was asked for will come of it."""
    SUPERSEDED = "superseded"
    """Somebody else's change stands there: this one is neither good nor bad any more."""


@dataclass(frozen=True)
class Evidence:
    """Where a verdict comes from: ``Pod model-x-1``, ``containerStatuses[server].state.waiting``,
    the words found there, and when."""

    object: str
    field: str
    value: str
    at: str = ""


@dataclass(frozen=True)
class Ask:
    """A request that must be answered before the verdict can be Ready.

    ``name`` is the request name; ``pod`` restricts the question to one pod (vLLM's ``/v1/models`` through the pod proxy),
    empty means through the gateway or Service. ``feature`` is what is to be shown, where the model has several. ``basis`` stands
    for the pods that would answer, as they were when it was asked (:func:`~airflow_provider_llmserve.readiness.basis.basis_of`):
    an answer counts while it is the same.
    """

    name: str
    pod: str = ""
    feature: str = ""
    basis: str = ""


@dataclass(frozen=True)
class Verdict:
    """One verdict about one serving run.

    ``reason`` is a word of ``readiness.reasons`` and part of the public contract; ``summary`` (with figures), ``detail`` (the
    system's own words) and ``advice`` (what to do) are for people and may change.
    """

    state: State
    reason: str
    reason_class: ReasonClass
    summary: str
    detail: str = ""
    advice: str = ""
    evidence: tuple[Evidence, ...] = ()
    retryable: bool = True
    ask: tuple[Ask, ...] = ()
    log: tuple[str, ...] = ()
    """Telling lines of the log of the container that it is about: when somebody reads this, the pod may be gone."""

    @property
    def at_zero(self) -> bool:
        """Nothing runs, by design: no fault, and no proof of anything."""
        return self.state is State.SCALED_TO_ZERO and self.reason_class in (ReasonClass.STOPPED, ReasonClass.DONE)

    def outcome(self, *, accept_zero: bool = True, absent: bool = False) -> Outcome:
        """What it means for somebody who waits: that it is proven, or (``absent``) that it is gone.

        ``accept_zero`` takes a run at zero by design for a success; it proves nothing.
        """
        if self.state is (State.GONE if absent else State.READY):
            return Outcome.SUCCESS
        if self.at_zero and accept_zero and not absent:
            return Outcome.SUCCESS
        if self.state is State.SUPERSEDED:
            return Outcome.SUPERSEDED
        ends = self.reason_class in (ReasonClass.IMPOSSIBLE, ReasonClass.STOPPED)
        return Outcome.FAILED if ends else Outcome.WAITING

    def text(self) -> str:
        """The verdict in words: summary, detail, advice, each where there is one."""
        parts = [f"{self.state.value} ({self.reason}): {self.summary}", self.detail, self.advice and f"What to do: {self.advice}"]
        return "\n".join(p for p in parts if p)

    def report(self) -> str:
        """The verdict in words, with what the container's log said."""
        return "\n".join((self.text(), *(("Its log, in part:", *(f"  {line}" for line in self.log)) if self.log else ())))
