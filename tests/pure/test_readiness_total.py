"""Every function that reads objects is total: with any field of a recorded object gone, or of another type, it still answers.

One damage at a time is tried everywhere; several at once, as they are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.damage import FOREIGN, GONE, Path, paths, put
from support.history import load, objects_of, recorded, seen_at

from airflow_provider_llmserve.readiness import fields
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.pods import diagnose_pod, logs_wanted, pod_ready
from airflow_provider_llmserve.readiness.rollout import creation_trouble, current_replica_set, progress, rollout_complete
from airflow_provider_llmserve.replay.judge import assess_of

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
DAMAGES = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from([GONE, *FOREIGN])), max_size=8)


def shapes(kind: str) -> list[Any]:
    """Recorded objects of a kind, one of each set of status keys and waiting reasons."""
    found: dict[str, Any] = {}
    for _, _, one in objects_of(kind):
        status = one.get("status") or {}
        states = [s.get("state", {}) for s in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))]
        words = [w for s in states for w in (*s, *(str(v.get("reason")) for v in s.values()))]
        conditions = [f"{c.get('type')}{c.get('status')}{c.get('reason')}" for c in status.get("conditions", ())]
        found.setdefault(repr((sorted(status), words, conditions, "deletionTimestamp" in one["metadata"])), one)
    return list(found.values())


PODS = shapes("Pod")
DEPLOYMENTS = shapes("Deployment")
REPLICA_SETS = shapes("ReplicaSet")
EVENTS = [e for _, _, e in objects_of("Event") if e.get("type") == "Warning"][::25]


def damaged(value: Any, damages: list[tuple[int, Any]]) -> Any:
    """A copy with some of its fields gone or of another type, one after the other."""

    def once(value: Any, damage: tuple[int, Any]) -> Any:
        found = list(paths(value))
        return put(value, found[damage[0] % len(found)], damage[1]) if found else value

    return reduce(once, damages, value)


def read_pod(pod: Any, *events: Any) -> None:
    seen = Observed((pod, *events))
    diagnose_pod(pod, seen, NOW)
    logs_wanted(seen)
    pod_ready(pod)


def read_event(event: Any) -> None:
    read_pod(PODS[0], event)


def read_rollout(deployment: Any, replica_set: Any, pod: Any) -> None:
    seen = Observed((deployment, replica_set, pod))
    assert isinstance(progress(deployment, seen).serving, bool)
    creation_trouble(replica_set, seen)
    current_replica_set(deployment, seen)
    rollout_complete(deployment)


def owned(one: Any, uid: str) -> Any:
    return put(one, ("metadata", "ownerReferences"), [{"uid": uid}])


def read_deployment(deployment: Any) -> None:
    read_rollout(deployment, owned(REPLICA_SETS[0], "d"), owned(PODS[0], REPLICA_SETS[0]["metadata"]["uid"]))


def read_replica_set(replica_set: Any) -> None:
    deployment = put(DEPLOYMENTS[0], ("metadata", "uid"), "d")
    read_rollout(deployment, replica_set, owned(PODS[0], "r"))


READERS: dict[str, tuple[Callable[[Any], None], list[Any]]] = {
    "Pod": (read_pod, PODS),
    "Event": (read_event, [put(e, ("involvedObject",), {"kind": "Pod", "name": PODS[0]["metadata"]["name"]}) for e in EVENTS]),
    "Deployment": (read_deployment, [put(d, ("metadata", "uid"), "d") for d in DEPLOYMENTS]),
    "ReplicaSet": (read_replica_set, [put(owned(r, "d"), ("metadata", "uid"), "r") for r in REPLICA_SETS]),
}


@pytest.mark.parametrize("kind", READERS)
def test_any_one_field_may_be_gone_or_of_another_type(kind: str) -> None:
    """Gone: in every object. Of another type: each kind of field (an index counts for all) in the first object that has it."""
    read, objects = READERS[kind]
    tried: set[Path] = set()
    for one in objects:
        for path in paths(one):
            place = tuple("*" if isinstance(key, int) else key for key in path)
            for new in (GONE,) if place in tried else (GONE, *FOREIGN):
                try:
                    read(put(one, path, new))
                except Exception as e:
                    raise AssertionError(f"{kind} {one['metadata']['name']} with {new!r} at {path}") from e
            tried.add(place)


@settings(max_examples=50)
@given(st.sampled_from(PODS), DAMAGES, st.sampled_from(EVENTS), DAMAGES)
def test_pods(pod: Any, damages: list[Any], event: Any, more: list[Any]) -> None:
    event = put(event, ("involvedObject",), {"kind": "Pod", "name": pod["metadata"]["name"]})
    read_pod(damaged(pod, damages), damaged(event, more))


@settings(max_examples=50)
@given(st.sampled_from(DEPLOYMENTS), DAMAGES, st.sampled_from(REPLICA_SETS), DAMAGES, st.sampled_from(PODS), DAMAGES)
def test_rollouts(deployment: Any, first: list[Any], replica_set: Any, second: list[Any], pod: Any, third: list[Any]) -> None:
    child = owned(replica_set, deployment["metadata"]["uid"])
    grandchild = owned(pod, replica_set["metadata"]["uid"])
    read_rollout(damaged(deployment, first), damaged(child, second), damaged(grandchild, third))


@settings(max_examples=60)
@given(
    st.sampled_from(recorded()), st.floats(0, 1), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=60)
)
def test_whole_verdicts(name: str, part: float, gone: list[tuple[int, int]]) -> None:
    history = load(name)
    expected, observed, now = seen_at(name, part * history.seconds)
    objects = list(observed.objects)
    for which, field in gone if objects else ():
        which %= len(objects)
        objects[which] = damaged(objects[which], [(field, GONE)])
    assess_of(history.kind)(expected, replace(observed, objects=tuple(objects)), now)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=12),
        lambda x: st.lists(x, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "status"]), x),
    ),
    st.lists(st.sampled_from(["a", "b", "metadata", "status"]), max_size=3),
)
def test_fields(value: Any, path: list[str]) -> None:
    fields.at(value, *path)
    assert isinstance(fields.text(value, *path), str)
    assert isinstance(fields.number(value, *path), int)
    assert isinstance(fields.items(value, *path), list)
    moment = fields.moment(value, *path)
    assert moment is None or moment.tzinfo is not None


def test_times() -> None:
    read = fields.moment({"t": "2026-01-01T00:00:01Z"}, "t")
    assert read == datetime(2026, 1, 1, 0, 0, 1, tzinfo=timezone.utc)
    assert fields.moment({"t": "2026-01-01T00:00:01.123456789Z"}, "t") == read.replace(microsecond=123456)
    assert fields.moment({"t": "2026-01-01T02:00:01.5+02:00"}, "t") == read.replace(microsecond=500000)
    assert fields.moment({"t": "soon"}, "t") is None
