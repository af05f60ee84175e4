"""The pod's diagnosis: one YAML row a case (``cases/pods.yaml``), totality, aggregates, which logs to fetch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from support.history import CASES, load, seen_at

from airflow_provider_llmserve.readiness.events import event_text, event_time, events_about
from airflow_provider_llmserve.readiness.observed import Observed, PodLog, Reply
from airflow_provider_llmserve.readiness.pods import (
    PodTrouble,
    WantedLog,
    diagnose_pod,
    logs_wanted,
    pod_ready,
    pod_stands,
    trouble_verdict,
    worst,
)
from airflow_provider_llmserve.readiness.reasons import REASONS
from airflow_provider_llmserve.readiness.state import Ask, Evidence, ReasonClass, State

ROWS: list[dict[str, Any]] = yaml.safe_load((CASES / "pods.yaml").read_text())
BASE: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"containers": [{"name": "server", "image": "vllm/vllm-openai:v0.10.1"}]},
    "status": {},
}
NOW = datetime(2026, 1, 1, 0, 1, tzinfo=timezone.utc)


def laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        merged[key] = laid_over(merged.get(key) or {}, value) if isinstance(value, Mapping) else value
    return merged


def seen(row: Mapping[str, Any]) -> tuple[dict[str, Any], Observed, datetime]:
    pod = laid_over(BASE, row["pod"])
    events = [
        {
            "kind": "Event",
            "metadata": {"name": f"e{i}"},
            "reason": e["reason"],
            "message": e["message"],
            "lastTimestamp": e.get("at"),
            "count": e.get("count"),
            "involvedObject": e.get("about") or {"kind": "Pod", "name": "p", "uid": "u"},
        }
        for i, e in enumerate(row.get("events", ()))
    ]
    logs = tuple(PodLog("p", x.get("container", "server"), x["text"], x.get("previous", False)) for x in row.get("logs", ()))
    now = datetime.fromisoformat(row["now"].replace("Z", "+00:00")) if "now" in row else NOW
    return pod, Observed((pod, *events, *row.get("objects", ())), logs=logs), now


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["name"])
def test_pod(row: dict[str, Any]) -> None:
    pod, observed, now = seen(row)
    trouble = diagnose_pod(pod, observed, now)
    expected = row["expect"]
    if expected is None:
        assert trouble is None
        return
    assert trouble is not None
    assert (trouble.reason, trouble.fatal) == (expected["reason"], expected["fatal"])
    assert expected.get("detail", "") in trouble.detail
    assert trouble.pod == "p"
    assert trouble.summary
    assert trouble.evidence[0].object == "Pod p"


def test_names_are_unique() -> None:
    names = [row["name"] for row in ROWS]
    assert len(names) == len(set(names))


def test_the_system_is_taken_from_the_caller_where_the_image_is_silent() -> None:
    row = {
        "pod": {
            "spec": {"containers": [{"name": "server", "image": "mirror/x"}]},
            "status": {"containerStatuses": [{"name": "server", "state": {"terminated": {"exitCode": 1}}}]},
        },
        "logs": [{"text": "KeyError in <lambda>\nKeyError: 'nonsense'"}],
    }
    pod, observed, now = seen(row)
    found = diagnose_pod(pod, observed, now, system="huggingfaceserver")
    assert found is not None
    assert found.reason == "invalid_flag"
    other = diagnose_pod(pod, observed, now, system="ollama")
    assert other is not None
    assert other.reason == "container_restarting"


def test_the_grace_is_the_callers() -> None:
    row = next(r for r in ROWS if r["name"] == "no GPU free, for a minute")
    pod, observed, now = seen(row)
    found = diagnose_pod(pod, observed, now, grace=timedelta(seconds=30))
    assert found is not None
    assert found.fatal


def trouble(pod: str, reason: str, fatal: bool = False, minute: int | None = None) -> PodTrouble:
    since = NOW + timedelta(minutes=minute) if minute is not None else None
    return PodTrouble(pod=pod, reason=reason, summary="it is so", fatal=fatal, since=since)


def test_worst_is_fatal_first_then_oldest() -> None:
    passing, fatal = trouble("a", "registry_unreachable", minute=0), trouble("b", "image_not_found", fatal=True, minute=5)
    assert worst([None, passing, fatal]) is not None
    assert worst([passing, fatal]).reason == "image_not_found"  # type: ignore[union-attr]
    older = trouble("c", "secret_missing", minute=-3)
    assert worst([passing, older]).reason == "secret_missing"  # type: ignore[union-attr]
    assert worst([]) is None
    assert worst([None]) is None


def test_an_aggregate_says_how_many_and_which() -> None:
    troubles = [trouble("b", "out_of_memory", fatal=True), trouble("a", "out_of_memory", fatal=True), trouble("c", "node_lost")]
    found = worst(troubles, pods=4)
    assert found is not None
    assert found.summary == "2 of 4 pods: it is so: a, b (also node_lost)"
    assert worst([trouble("a", "node_lost")], pods=1).summary == "it is so"  # type: ignore[union-attr]
    many = worst([trouble(x, "node_lost") for x in "abcde"])
    assert many is not None
    assert many.summary == "5 of 5 pods: it is so: a, b, c and 2 more"


@pytest.mark.parametrize(
    ("status", "replies", "wanted"),
    [
        ({"state": {"terminated": {"exitCode": 1}}}, (), (WantedLog("p", "server"),)),
        (
            {"restartCount": 1, "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1}}},
            (),
            (WantedLog("p", "server", previous=True, restarts=1),),
        ),
        ({"restartCount": 1, "ready": True, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}, (), ()),
        ({"ready": True, "state": {"running": {}}}, (), ()),
        ({"ready": True, "state": {"running": {}}}, (Reply(Ask("m"), 500, NOW),), (WantedLog("p", "server", growing=True),)),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, (), ()),
    ],
)
def test_which_logs_would_help(status: dict[str, Any], replies: tuple[Reply, ...], wanted: tuple[Any, ...]) -> None:
    pod = laid_over(BASE, {"status": {"containerStatuses": [{"name": "server", **status}]}})
    assert logs_wanted(Observed((pod,), replies=replies)) == wanted


def test_a_slow_containers_log_is_wanted_once_its_probe_fails() -> None:
    row = next(r for r in ROWS if r["name"] == "loading its model")
    _, observed, _ = seen(row)
    assert logs_wanted(observed) == (WantedLog("p", "server", growing=True),)


def test_recorded_crashes_want_the_log_that_was_recorded() -> None:
    for name in ("deployment/crash-gated-repository", "kserve/storage-download-fails", "kubeai/create-crash-loop"):
        _, observed, _ = seen_at(name, load(name).seconds)
        wanted = {(w.pod, w.container) for w in logs_wanted(observed)}
        assert {(log.pod, log.container) for log in observed.logs} <= wanted


def test_ready() -> None:
    ready = laid_over(BASE, {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    assert pod_ready(ready)
    assert not pod_ready(laid_over(ready, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
    assert not pod_ready(laid_over(ready, {"status": {"phase": "Failed"}}))
    assert not pod_ready({})


def test_events_of_both_apis_newest_first_of_this_very_object() -> None:
    def event(when: str, **more: Any) -> dict[str, Any]:
        return {"kind": "Event", "reason": "R", "lastTimestamp": when, **more}

    old = event("2026-01-01T00:00:01Z", involvedObject={"kind": "Pod", "name": "p", "uid": "u"}, message="old", count=3)
    new = {
        "kind": "Event",
        "reason": "R",
        "eventTime": "2026-01-01T00:00:00.000001Z",
        "series": {"count": 5, "lastObservedTime": "2026-01-01T00:00:09.123456Z"},
        "regarding": {"kind": "Pod", "name": "p"},
        "note": "new",
    }
    earlier_pod = event("2026-01-01T00:00:05Z", involvedObject={"kind": "Pod", "name": "p", "uid": "other"})
    timeless = {"kind": "Event", "reason": "S", "involvedObject": {"kind": "Pod", "name": "p"}}
    observed = Observed((old, timeless, new, earlier_pod))
    found = events_about(observed, BASE)
    assert [event_text(e) for e in found] == ["new", "old", ""]
    assert event_time(timeless) is None
    assert events_about(observed, BASE, "S") == [timeless]


@pytest.mark.parametrize(
    ("fatal", "serving", "state", "reason_class"),
    [
        (True, True, State.DEGRADED, ReasonClass.IMPOSSIBLE),
        (True, False, State.FAILED, ReasonClass.IMPOSSIBLE),
        (False, True, State.DEGRADED, ReasonClass.WAITING),
        (False, False, State.PROGRESSING, ReasonClass.WAITING),
    ],
)
@pytest.mark.parametrize("word", ["image_not_found", "unschedulable_gpu"])  # impossible by itself, and waiting
def test_a_trouble_becomes_a_verdict_by_what_it_is_and_what_serves(
    word: str, fatal: bool, serving: bool, state: State, reason_class: ReasonClass
) -> None:
    proof = (Evidence("Pod p", "status", "x"),)
    trouble = PodTrouble("p", word, "it waits", "its words", evidence=proof, fatal=fatal)
    said = trouble_verdict(trouble, serving=serving)
    assert (said.state, said.reason_class, said.reason) == (state, reason_class, word)
    assert (said.summary, said.detail, said.advice, said.evidence) == ("it waits", "its words", REASONS[word].advice, proof)
    assert trouble_verdict(replace(trouble, advice="mend it"), serving=serving, note="0 of 1").summary == "it waits (0 of 1)"
    assert trouble_verdict(replace(trouble, advice="mend it"), serving=serving).advice == "mend it"


@pytest.mark.parametrize(
    ("phase", "told", "stands"),
    [("Running", False, True), ("Running", True, True), ("Failed", False, False), ("Succeeded", True, True)],
    ids=["serves", "ends", "a corpse", "its containers have ended, and the kubelet has not let go of it"],
)
def test_what_stands(phase: str, told: bool, stands: bool) -> None:
    metadata = {"deletionTimestamp": "2026-01-01T00:00:30Z"} if told else {}
    assert pod_stands({"metadata": metadata, "status": {"phase": phase}}) is stands
