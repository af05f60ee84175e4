"""How far a rollout is: hand-made shapes, and the words along recorded rollouts."""

from __future__ import annotations

from typing import Any

import pytest
from support.history import load, seen_at

from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.pods import PodTrouble
from airflow_provider_llmserve.readiness.rollout import (
    creation_trouble,
    current_replica_set,
    deadlock,
    progress,
    rollout_complete,
    wanted_replicas,
)

TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "server", "image": "i:2"}]}}
OLD = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "server", "image": "i:1"}]}}


def deployment(replicas: Any = 1, **more: Any) -> dict[str, Any]:
    spec = {"template": TEMPLATE, **({} if replicas is None else {"replicas": replicas}), **more.pop("spec", {})}
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "uid": "d", "generation": 2},
        "spec": spec,
        "status": {"observedGeneration": 2, **more.pop("status", {})},
    }


def replica_set(uid: str, template: dict[str, Any], owner: str = "d") -> dict[str, Any]:
    labels = {**template["metadata"]["labels"], "pod-template-hash": uid}
    return {
        "kind": "ReplicaSet",
        "metadata": {"name": uid, "uid": uid, "ownerReferences": [{"uid": owner}]},
        "spec": {"template": {**template, "metadata": {"creationTimestamp": None, "labels": labels}}},
    }


def pod(name: str, of: str, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "uid": name, "ownerReferences": [{"uid": of}], **metadata},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


NEW_SET, OLD_SET = replica_set("new", TEMPLATE), replica_set("old", OLD)


@pytest.mark.parametrize(
    ("what", "others", "reason"),
    [
        (deployment(), [NEW_SET, pod("a", "new")], ""),
        (deployment(None), [NEW_SET, pod("a", "new")], ""),
        (deployment(), [NEW_SET, pod("a", "new", ready=False)], "starting"),
        (deployment(2), [NEW_SET, pod("a", "new")], "pods_missing"),
        (deployment(), [NEW_SET, pod("a", "new"), pod("b", "new")], "surplus_pod"),
        (deployment(), [NEW_SET, OLD_SET, pod("a", "new", ready=False), pod("o", "old")], "old_version_serves"),
        (deployment(), [NEW_SET, OLD_SET, pod("a", "new"), pod("o", "old")], "old_pod_still_serves"),
        (deployment(), [NEW_SET, OLD_SET, pod("a", "new"), pod("o", "old", deletionTimestamp="2026-01-01T00:00:00Z")], ""),
        (deployment(), [OLD_SET, pod("o", "old")], "old_version_serves"),
        (deployment(), [], "starting"),
        (deployment(status={"observedGeneration": 1}), [NEW_SET, pod("a", "new")], "controller_behind"),
        (deployment(spec={"paused": True}), [OLD_SET, pod("o", "old")], "paused"),
        (deployment(spec={"paused": True}), [NEW_SET, pod("a", "new")], ""),
        (deployment(0), [NEW_SET, pod("a", "new")], "stopping"),
        (deployment(0), [NEW_SET], ""),
        (deployment(), [NEW_SET, replica_set("foreign", OLD, owner="other"), pod("a", "new"), pod("f", "foreign")], ""),
    ],
)
def test_shapes(what: dict[str, Any], others: list[dict[str, Any]], reason: str) -> None:
    assert progress(what, Observed((what, *others))).reason == reason


def test_the_figures_are_told() -> None:
    state = progress(deployment(3), Observed((NEW_SET, OLD_SET, pod("a", "new"), pod("b", "new", ready=False), pod("o", "old"))))
    assert state.summary == "1 of 3 pods of this version are ready, 1 of earlier ones remain"
    assert (state.ready, state.serving, state.wanted) == (1, True, 3)


def test_an_evicted_corpse_is_no_pod() -> None:
    corpse = {**pod("c", "new"), "status": {"phase": "Failed", "reason": "Evicted"}}
    state = progress(deployment(), Observed((NEW_SET, corpse, pod("a", "new"))))
    assert (state.reason, len(state.pods)) == ("", 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("update-good", ["controller_behind", "old_version_serves", "old_pod_still_serves", ""]),
        ("paused", ["controller_behind", "paused", "old_version_serves", ""]),
        ("stop-and-resume", ["", "controller_behind", "starting", ""]),
        ("create-two-one-slow", ["controller_behind", "starting", ""]),
    ],
)
def test_recorded_rollouts_pass_through_these_words_in_order(name: str, words: list[str]) -> None:
    history = load(f"deployment/{name}")
    said = []
    for _, observed in history.snapshots(history.times()):
        live = observed.get("Deployment", "support")
        if live is not None and (live["spec"]["template"]["spec"]["containers"][0]["args"] == _asked_args(history.want)):
            said.append(progress(live, observed).reason)
    rest = iter(said)
    assert all(word in rest for word in words), list(dict.fromkeys(said))
    assert said[-1] == ""


def _asked_args(want: Any) -> Any:
    return want["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize("name", ["update-bad-image", "update-no-spare-gpu-deadlock", "oom-killed"])
def test_a_stuck_rollout_is_never_complete(name: str) -> None:
    """Available stays True in each of them, and Progressing says ProgressDeadlineExceeded at most."""
    history = load(f"deployment/{name}")
    for t, observed in history.snapshots(history.times()):
        live = observed.get("Deployment", "support")
        if live is not None and t > history.asked_at + 1:
            assert progress(live, observed).reason != "", t


def test_the_current_set_is_the_one_with_our_template() -> None:
    assert current_replica_set(deployment(), Observed((OLD_SET, NEW_SET))) is NEW_SET
    assert current_replica_set(deployment(), Observed((OLD_SET,))) is None
    assert wanted_replicas({}) == 1


def test_the_deployments_own_figures() -> None:
    counts = {"updatedReplicas": 1, "replicas": 1, "availableReplicas": 1}
    available = {"conditions": [{"type": "Available", "status": "True"}]}
    assert rollout_complete(deployment(status={**counts, **available}))
    assert not rollout_complete(deployment(status=counts))
    assert not rollout_complete(deployment(status={**counts, **available, "replicas": 2}))
    assert not rollout_complete(deployment(status={**counts, **available, "observedGeneration": 1}))
    assert rollout_complete(deployment(0))


def test_pods_that_may_not_be_made() -> None:
    _, observed, _ = seen_at("deployment/quota-exceeded", 20)
    found = [creation_trouble(r, observed) for r in observed.of("ReplicaSet")]
    (trouble,) = [t for t in found if t]
    assert (trouble.reason, trouble.fatal) == ("quota_exceeded", False)
    assert "exceeded quota" in trouble.detail
    condition = {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity restricted"}
    refused = creation_trouble({"kind": "ReplicaSet", "status": {"conditions": [condition]}}, Observed())
    assert refused is not None
    assert (refused.reason, refused.fatal) == ("pod_security", True)


def test_a_refusal_of_the_past_is_no_trouble() -> None:
    event = {
        "kind": "Event",
        "reason": "FailedCreate",
        "message": "exceeded quota: q",
        "involvedObject": {"kind": "ReplicaSet", "name": "new"},
    }
    full = {**NEW_SET, "spec": {**NEW_SET["spec"], "replicas": 2}, "status": {"replicas": 2}}
    assert creation_trouble(full, Observed((full, event))) is None
    short = {**full, "status": {"replicas": 1}}
    assert creation_trouble(short, Observed((short, event))) is not None


def test_the_deadlock_of_a_surge_without_room() -> None:
    waiting = PodTrouble(pod="a", reason="unschedulable_gpu", summary="no node takes the pod")
    stuck = progress(deployment(), Observed((NEW_SET, OLD_SET, pod("a", "new", ready=False), pod("o", "old"))))
    found = deadlock(stuck, [waiting])
    assert found is not None
    assert (found.reason, found.summary) == ("rollout_deadlock", "pod a waits for room that o holds until it is ready")
    first = progress(deployment(), Observed((NEW_SET, pod("a", "new", ready=False))))
    assert deadlock(first, [waiting]) is None
    assert deadlock(stuck, [PodTrouble(pod="a", reason="image_not_found", summary="")]) is None
    assert deadlock(stuck, [waiting], [pod("x", "old")]) is None, "one is still ending: its room comes free"


def annotated(template: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return {**template, "metadata": {**template["metadata"], "annotations": annotations}}


@pytest.mark.parametrize(
    ("asked", "made", "found"),
    [
        ({"mark": "2"}, {"mark": "2"}, "new"),
        ({"mark": "2"}, {"mark": "2", "added-by": "a-policy"}, "new"),
        ({"mark": "2"}, {"mark": "1"}, None),
        ({"mark": "2", "restartedAt": "now"}, {"mark": "2"}, None),
        ({}, {}, None),
    ],
)
def test_where_admission_rewrites_replica_sets_their_annotations_tell(
    asked: dict[str, str], made: dict[str, str], found: str | None
) -> None:
    rewritten = replica_set("new", TEMPLATE)
    rewritten["spec"]["template"] = {**annotated(TEMPLATE, **made), "spec": {"containers": [{"image": "mirror/i:2"}]}}
    what = deployment(spec={"template": annotated(TEMPLATE, **asked)})
    current = current_replica_set(what, Observed((OLD_SET, rewritten)))
    assert (current and current["metadata"]["uid"]) == found
