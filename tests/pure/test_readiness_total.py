"""Every function that reads objects is total: with any field of a recorded object gone, or of another type, it still answers."""

from __future__ import annotations

import copy
import random
from datetime import datetime, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.history import load, objects_of, recorded, seen_at

from airflow_provider_llmserve.readiness import fields
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.pods import diagnose_pod, logs_wanted, pod_age, pod_ready
from airflow_provider_llmserve.readiness.rollout import creation_trouble, current_replica_set, rollout, rollout_complete
from airflow_provider_llmserve.replay.judge import assess_of

SEEDS = st.integers(0, 2**32)
NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
SOME = recorded()[::3]
"""Enough to have every kind and failure; all of them are judged whole in test_replay_cases."""
JUNK: list[Any] = [None, 0, "x", [], {}, [None], {"x": None}, True]


def shapes(kind: str) -> list[Any]:
    """Recorded objects of a kind, one of each set of status keys and waiting reasons."""
    found: dict[str, Any] = {}
    for _, _, one in objects_of(kind, SOME):
        status = one.get("status") or {}
        states = [s.get("state", {}) for s in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))]
        words = [w for s in states for w in (*s, *(str(v.get("reason")) for v in s.values()))]
        conditions = [f"{c.get('type')}{c.get('status')}{c.get('reason')}" for c in status.get("conditions", ())]
        found.setdefault(repr((sorted(status), words, conditions, "deletionTimestamp" in one["metadata"])), one)
    return list(found.values())


PODS = shapes("Pod")
DEPLOYMENTS = shapes("Deployment")
REPLICA_SETS = shapes("ReplicaSet")
EVENTS = [e for _, _, e in objects_of("Event", SOME) if e.get("type") == "Warning"][::25]


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in ((*here, k), *paths(v, (*here, k)))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in ((*here, i), *paths(v, (*here, i)))]
    return []


def damaged(value: Any, rng: random.Random, times: int, junk: float = 0.4) -> Any:
    """A copy with some fields deleted, and a share ``junk`` of them replaced by values of another type."""
    value = copy.deepcopy(value)
    for _ in range(times):
        found = paths(value)
        if not found:
            break
        *parents, last = rng.choice(found)
        inner = value
        for key in parents:
            inner = inner[key]
        if rng.random() >= junk:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(rng.choice(JUNK))  # its own: the next damage may hit inside it
    return value


@settings(deadline=None)
@given(st.sampled_from(PODS), st.lists(st.sampled_from(EVENTS), max_size=3), SEEDS, st.integers(1, 8))
def test_pods(pod: Any, events: list[Any], seed: int, times: int) -> None:
    rng = random.Random(seed)
    name = pod["metadata"]["name"]
    about = [{**e, "involvedObject": {"kind": "Pod", "name": name}} for e in events]
    seen = Observed((damaged(pod, rng, times), *(damaged(e, rng, 2) for e in about)))
    broken = seen.objects[0]
    diagnose_pod(broken, seen, NOW)
    logs_wanted(seen)
    pod_ready(broken)
    pod_age(broken, NOW)


@settings(deadline=None)
@given(
    st.sampled_from(DEPLOYMENTS),
    st.sampled_from(REPLICA_SETS),
    st.sampled_from(PODS),
    SEEDS,
    st.integers(0, 8),
)
def test_rollouts(deployment: Any, replica_set: Any, pod: Any, seed: int, times: int) -> None:
    rng = random.Random(seed)
    owner = {"uid": deployment["metadata"]["uid"]}
    child = damaged({**replica_set, "metadata": {**replica_set["metadata"], "ownerReferences": [owner]}}, rng, times)
    grandchild = damaged(
        {**pod, "metadata": {**pod["metadata"], "ownerReferences": [{"uid": replica_set["metadata"]["uid"]}]}}, rng, times
    )
    seen = Observed((damaged(deployment, rng, times), child, grandchild))
    state = rollout(seen.objects[0], seen)
    assert isinstance(state.serving, bool)
    creation_trouble(child, seen)
    current_replica_set(seen.objects[0], seen)
    rollout_complete(seen.objects[0])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SOME), st.floats(0, 1), SEEDS, st.integers(1, 12))
def test_whole_verdicts(name: str, part: float, seed: int, times: int) -> None:
    rng = random.Random(seed)
    history = load(name)
    expected, observed, now = seen_at(name, part * history.seconds)
    broken = Observed(
        tuple(damaged(o, rng, rng.randint(0, times), junk=0.0) for o in observed.objects),
        observed.kinds,
        observed.replies,
        observed.logs,
    )
    assess_of(history.kind)(expected, broken, now)


@settings(max_examples=50, deadline=None)
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
