"""The rules of every runtime, tried before its own: is the object there, and is it the one that we applied? Pure.

A rule looks and says a verdict, or None where it has nothing to say; rules stand in order, and the first that speaks is
right. That the controller has not seen our generation is a rule of Deployments alone (``readiness.rollout``): a Model has no
``observedGeneration``, and an InferenceService's counts something else (kserve #6081).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from airflow_provider_llmserve.readiness.fields import at, name_of, number, terminating, text, uid_of
from airflow_provider_llmserve.readiness.observed import Expected, Object, Observed
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Evidence, State, Verdict
from airflow_provider_llmserve.runtimes import managers
from airflow_provider_llmserve.runtimes.managers import Part

VISIBLE_WITHIN = timedelta(seconds=10)
"""How long a list may lag behind our own write."""
FINALIZER_GRACE = timedelta(minutes=1)
"""How long a finalizer may hold a deleted object before it is said to be stuck."""

L = TypeVar("L")


@dataclass(frozen=True)
class Look:
    """One look at the primary object: what was asked for, what was seen, and when."""

    expected: Expected
    observed: Observed
    now: datetime

    @property
    def manifest(self) -> Object:
        """The object as we applied it."""
        return self.expected.manifest

    @property
    def kind(self) -> str:
        """Its kind."""
        return text(self.manifest, "kind")

    @property
    def name(self) -> str:
        """Its name."""
        return name_of(self.manifest)

    @cached_property
    def live(self) -> Object | None:
        """The object as it was seen, or None."""
        return self.observed.get(self.kind, self.name)

    @property
    def waited(self) -> timedelta:
        """Since we asked."""
        return self.now - self.expected.applied_at

    @property
    def written(self) -> datetime:
        """The time of our write, as the API server noted it: what events and conditions may be compared with."""
        return self.expected.written or self.expected.applied_at.replace(microsecond=0)

    @property
    def another(self) -> bool:
        """What stands there was made anew since."""
        return self.live is not None and bool(self.expected.uid) and uid_of(self.live) != self.expected.uid

    def proof(self, field: str, value: str) -> Evidence:
        """Evidence of the object itself."""
        return Evidence(f"{self.kind} {self.name}", field, value)


def first(rules: Iterable[Callable[[L], Verdict | None]], look: L) -> Verdict | None:
    """What the first rule says that says anything."""
    for rule in rules:
        found = rule(look)
        if found is not None:
            return found
    return None


def absent(look: Look) -> Verdict | None:
    """Not visible yet, or gone."""
    if look.live is not None:
        return None
    if look.kind not in look.observed.kinds or look.waited < VISIBLE_WITHIN:
        return verdict(State.PROGRESSING, "not_applied", f"{look.kind} {look.name} is not visible yet")
    return verdict(State.GONE, "disappeared", f"{look.kind} {look.name} does not exist any more")


def made_anew(look: Look) -> Verdict | None:
    """Deleted and made anew: another object under the name."""
    if not look.another:
        return None
    proof = look.proof("metadata.uid", uid_of(look.live or {}))
    said = f"{look.kind} {look.name} was deleted and made anew by somebody else"
    return verdict(State.SUPERSEDED, "superseded", said, evidence=[proof])


def deleted(look: Look) -> Verdict | None:
    """Being deleted, which we did not ask for."""
    if not terminating(look.live or {}):
        return None
    since = text(look.live, "metadata", "deletionTimestamp")
    said = f"somebody deleted {look.kind} {look.name} at {since}"
    return verdict(State.DELETING, "disappeared", said, evidence=[look.proof("metadata.deletionTimestamp", since)])


def behind(look: Look) -> Verdict | None:
    """The list lags behind our own write: it shows a generation before ours."""
    seen, written = (number(thing, "metadata", "generation") for thing in (look.live, look.manifest))
    if not 0 < seen < written:
        return None
    proof = look.proof("metadata.generation", f"{seen} < {written}")
    return verdict(
        State.PROGRESSING, "not_applied", f"our change of {look.kind} {look.name} is not visible yet", evidence=[proof]
    )


def not_ours(parts: Sequence[Part]) -> Callable[[Look], Verdict | None]:
    """The rule that another writer changed what we applied, or added to what makes a pod: both stand in ``parts``."""

    def rule(look: Look) -> Verdict | None:
        live = look.live or {}
        changed = [(path, f"set by {who}") for path, who in managers.theirs(live, parts)]
        changed += [(path, "taken out") for path in managers.lost(live, look.manifest, parts)]
        if not changed:
            return None
        fields = ", ".join(path for path, _ in changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        said = f"another writer changed {fields} of {look.kind} {look.name}"
        proof = [look.proof(path, what) for path, what in changed[:5]]
        return verdict(State.SUPERSEDED, "superseded", said, evidence=proof)

    return rule


def marked(mark_in: Callable[[Object], str]) -> Callable[[Look], Verdict | None]:
    """The rule that the object carries our mark, without which none of its pods can; ``mark_in`` reads it."""

    def rule(look: Look) -> Verdict | None:
        mark, seen = look.expected.mark, mark_in(look.live or {})
        if not mark:
            said = f"{look.kind} {look.name} was deployed without a mark: nothing tells which of its pods are of its last change"
            return verdict(State.DEGRADED, "unmarked", said)
        if seen == mark:
            return None
        proof = look.proof("mark", seen or "none")
        if mark_in(look.manifest) == mark:
            said = f"another writer took our mark from {look.kind} {look.name}"
            return verdict(State.SUPERSEDED, "superseded", said, evidence=[proof])
        said = f"the API server stored {look.kind} {look.name} without our mark: admission takes it away"
        return verdict(State.DEGRADED, "mark_lost", said, evidence=[proof])

    return rule


def identity(parts: Sequence[Part], mark_in: Callable[[Object], str]) -> tuple[Callable[[Look], Verdict | None], ...]:
    """The rules of every runtime about an object that should be there, in order."""
    return (absent, made_anew, deleted, behind, not_ours(parts), marked(mark_in))


def absence(look: Look, pods: Sequence[Object], *, stuck: Callable[[list[str]], str] | None = None) -> Verdict:
    """Is it gone, as was asked for? Only when neither the object nor a pod of it is left: then its GPUs are free.

    ``stuck`` says in words why nobody will remove the finalizers that hold the object, and nothing where somebody may;
    without it, those that have held it for a minute are.
    """
    live = None if look.another else look.live
    if live is not None:
        return _still_there(look, live, len(pods), stuck)
    if pods:
        named = ", ".join(name_of(p) for p in pods[:3])
        said = f"{look.kind} {look.name} is gone, {len(pods)} of its pods still run: {named}"
        return verdict(State.DELETING, "deleting", said)
    if not {look.kind, "Pod"} <= look.observed.kinds:
        return verdict(State.DELETING, "deleting", "it was not looked at yet")
    return verdict(State.GONE, "gone", f"{look.kind} {look.name} and its pods are gone")


def _still_there(look: Look, live: Object, pods: int, stuck: Callable[[list[str]], str] | None) -> Verdict:
    found = at(live, "metadata", "finalizers")
    held = [f for f in map(str, found if isinstance(found, list) else ()) if f not in ("foregroundDeletion", "orphan")]
    why = stuck(held) if stuck is not None and held else ""
    if not why and not terminating(live):
        return verdict(State.DELETING, "deleting", f"{look.kind} {look.name} is not marked for deletion yet")
    if not held or not (why or (stuck is None and look.waited > FINALIZER_GRACE)):
        waits = f", waits for finalizer {', '.join(held)}" if held else ""
        return verdict(State.DELETING, "deleting", f"{look.kind} {look.name} is still there{waits}; {pods} pods are left")
    said = f"{look.kind} {look.name} waits for finalizer {', '.join(held)}; {pods} pods are left"
    proof = look.proof("metadata.finalizers", ", ".join(held))
    return verdict(State.DELETING, "finalizer_stuck", said, detail=why, evidence=[proof])
