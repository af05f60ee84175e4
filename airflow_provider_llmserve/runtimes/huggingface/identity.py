"""Is the object still the one that we applied, and is a deleted one gone? Shared by the Deployment and the InferenceService."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_llmserve.readiness.fields import at, mapping, name_of, terminating, text, uid_of
from airflow_provider_llmserve.readiness.observed import Expected, Object, Observed
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Evidence, State, Verdict
from airflow_provider_llmserve.specs.quantity import quantity

VISIBLE_WITHIN = timedelta(seconds=10)
"""How long a list may lag behind our own write."""
_SETTLES_WITHIN = timedelta(seconds=2)
"""The same where it is not known what stood there before."""
FINALIZER_GRACE = timedelta(minutes=1)
"""How long a finalizer may hold a deleted object before it is said to be stuck."""


def identity_verdict(expected: Expected, live: Object | None, observed: Observed, now: datetime) -> Verdict | None:
    """Not visible yet, gone, deleted, made anew or changed by somebody else; None where ``live`` is what was asked for."""
    kind, name = text(expected.manifest, "kind"), name_of(expected.manifest)
    waited = now - expected.applied_at
    if live is None:
        if kind not in observed.kinds or waited < VISIBLE_WITHIN:
            return verdict(State.PROGRESSING, "not_applied", f"{kind} {name} is not visible yet")
        return verdict(State.GONE, "disappeared", f"{kind} {name} does not exist any more")
    if expected.uid and uid_of(live) != expected.uid:
        proof = Evidence(f"{kind} {name}", "metadata.uid", uid_of(live))
        said = f"{kind} {name} was deleted and made anew by somebody else"
        return verdict(State.SUPERSEDED, "superseded", said, evidence=[proof])
    if terminating(live):
        since = text(live, "metadata", "deletionTimestamp")
        proof = Evidence(f"{kind} {name}", "metadata.deletionTimestamp", since)
        return verdict(State.DELETING, "disappeared", f"somebody deleted {kind} {name} at {since}", evidence=[proof])
    changed = list(drift(mapping(expected.manifest, "spec"), mapping(live, "spec"), "spec"))
    if not changed:
        return None
    before = mapping(expected.before, "spec") if expected.before is not None else {}
    stale = before and waited < VISIBLE_WITHIN and not list(drift(before, mapping(live, "spec"), "spec"))
    if stale or waited < _SETTLES_WITHIN:
        return verdict(State.PROGRESSING, "not_applied", f"our change of {changed[0][0]} is not visible yet")
    field = changed[0][0]
    more = f" and {len(changed) - 1} more fields" if len(changed) > 1 else ""
    return verdict(
        State.SUPERSEDED,
        "superseded",
        f"another writer changed {field}{more} of {kind} {name}",
        evidence=[Evidence(f"{kind} {name}", f, str(v)[:200]) for f, v in changed[:5]],
    )


def deletion(expected: Expected, live: Object | None, pods: Sequence[Object], observed: Observed, now: datetime) -> Verdict:
    """Gone only when neither the object nor a pod of it is left: then its GPUs are free."""
    kind, name = text(expected.manifest, "kind"), name_of(expected.manifest)
    if live is not None and not (expected.uid and uid_of(live) != expected.uid):
        found = at(live, "metadata", "finalizers")
        held = [f for f in map(str, found if isinstance(found, list) else ()) if f not in ("foregroundDeletion", "orphan")]
        if not terminating(live):
            return verdict(State.DELETING, "deleting", f"{kind} {name} is not marked for deletion yet")
        if held and now - expected.applied_at > FINALIZER_GRACE:
            said = f"{kind} {name} waits for finalizer {', '.join(held)}; {len(pods)} pods are left"
            proof = Evidence(f"{kind} {name}", "metadata.finalizers", ", ".join(held))
            return verdict(State.DELETING, "finalizer_stuck", said, evidence=[proof])
        return verdict(State.DELETING, "deleting", f"{kind} {name} is still there, with {len(pods)} pods")
    if pods:
        named = ", ".join(name_of(p) for p in pods[:3])
        return verdict(State.DELETING, "deleting", f"{kind} {name} is gone, {len(pods)} of its pods still run: {named}")
    if not {kind, "Pod"} <= observed.kinds:
        return verdict(State.DELETING, "deleting", "it was not looked at yet")
    return verdict(State.GONE, "gone", f"{kind} {name} and its pods are gone")


def drift(asked: Any, live: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path and live value of each field that is not what was asked for.

    Fields that we did not set are others' (defaults, policies, autoscalers) and no drift. Lists of named things are compared by
    name, other lists as a whole; quantities by value (``1000m`` is stored as ``1``); what is empty is the same as absent.
    """
    if isinstance(asked, Mapping):
        for key, value in asked.items():
            yield from drift(value, live.get(key) if isinstance(live, Mapping) else None, f"{path}.{key}")
    elif isinstance(asked, (list, tuple)) and asked and all(isinstance(i, Mapping) and "name" in i for i in asked):
        found = live if isinstance(live, (list, tuple)) else ()
        there = {str(i.get("name")): i for i in found if isinstance(i, Mapping)}
        for item in asked:
            yield from drift(item, there.get(str(item["name"])), f"{path}[{item['name']}]")
    elif isinstance(asked, (list, tuple)):
        there_list = live if isinstance(live, (list, tuple)) else ()
        if len(asked) != len(there_list):
            yield path, live
            return
        for i, (one, other) in enumerate(zip(asked, there_list, strict=True)):
            yield from drift(one, other, f"{path}[{i}]")
    elif not _same(asked, live):
        yield path, live


def _same(asked: Any, live: Any) -> bool:
    if asked == live or (asked in (None, "", False, 0) and live in (None, "", False, 0)):
        return True
    amount = quantity(asked)
    return amount is not None and amount == quantity(live)
