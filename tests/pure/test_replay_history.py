"""The loader: what could be seen at a second of a recording, and nothing of later."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support.history import judge, load, recorded, seen_at
from support.trim import copy

from airflow_provider_llmserve.replay.history import FRESH, History

TRUTH = [
    {"from": 0, "proven": False, "state": "gone", "cause": "not_created_yet"},
    {"from": 2, "proven": True, "state": "ready", "cause": ""},
]


def pod(**labels: str) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:01Z", "labels": labels},
    }


def write(path: Path, *lines: Any, **header: Any) -> Path:
    first = {
        "history": "h",
        "want": {"kind": "Model", "metadata": {"name": "m"}},
        "asked": "present",
        "asked_at": 1,
        "watched": ["/api/v1/pods"],
    }
    path.write_text("\n".join(json.dumps(x) for x in ({**first, "truth": TRUTH, "seconds": 9, **header}, *lines)))
    return path


def at(history: History, t: float) -> Any:
    (_, observed), *_ = history.snapshots([t])
    return observed


def test_objects_come_change_and_go(tmp_path: Path) -> None:
    history = History.read(
        write(
            tmp_path / "h.jsonl",
            {"t": 1.5, "event": "ADDED", "object": pod()},
            {"t": 3.0, "event": "MODIFIED", "object": pod(x="1")},
            {"t": 5.0, "event": "DELETED", "object": pod(x="1")},
        )
    )
    assert at(history, 1.4).objects == ()
    assert at(history, 1.5).get("Pod", "p")["metadata"]["labels"] == {}
    assert at(history, 3.0).get("Pod", "p")["metadata"]["labels"] == {"x": "1"}
    assert at(history, 5.0).objects == ()
    assert at(history, 5.0).kinds == {"Pod"}


def test_a_label_is_as_old_as_its_value(tmp_path: Path) -> None:
    lines = [{"t": t, "event": "MODIFIED", "object": pod(adapter=value)} for t, value in ((1.0, "a"), (2.0, "b"), (3.0, "b"))]
    history = History.read(write(tmp_path / "h.jsonl", *lines))
    (entry,) = at(history, 3.5).get("Pod", "p")["metadata"]["managedFields"]
    assert entry["time"] == history.now(2.0).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": {"f:adapter": {}}}}


def test_an_answer_is_handed_on_while_it_is_fresh_and_a_failure_until_the_next_answer(tmp_path: Path) -> None:
    history = History.read(
        write(
            tmp_path / "h.jsonl",
            {"t": 1.0, "probe": {"name": "m", "status": 200, "answers": "hello"}},
            {"t": 5.0, "probe": {"name": "m", "status": 0, "answers": "held"}},
            {"t": 1.0, "probe": {"name": "p law", "status": 500, "answers": "no"}},
        )
    )
    assert {(r.ask.name, r.pod, r.status) for r in at(history, 1.0).replies} == {("m", "", 200), ("m", "p", 500)}
    assert {(r.ask.name, r.pod) for r in at(history, 1.0 + FRESH + 0.1).replies} == {("m", "p")}
    assert {(r.ask.name, r.status) for r in at(history, 8.0).replies} == {("m", 0), ("m", 500)}
    assert history.answered("m") == [1.0]


def test_a_fresh_answer_to_one_name_keeps_older_ones_to_others(tmp_path: Path) -> None:
    probes = [{"t": t, "probe": {"name": name, "status": 200, "answers": ""}} for t, name in ((1.0, "m"), (6.0, "m_law"))]
    history = History.read(write(tmp_path / "h.jsonl", *probes))
    assert at(history, 5.9).replies == ()
    assert {r.ask.name for r in at(history, 6.0).replies} == {"m", "m_law"}
    assert at(history, 6.0 + FRESH + 0.1).replies == ()


def test_an_answer_is_of_the_pods_that_gave_it(tmp_path: Path) -> None:
    """Of others that stand there later it says nothing; one that comes a moment before its pod shows is that pod's."""
    other = {**pod(), "metadata": {**pod()["metadata"], "name": "q", "uid": "q"}}
    lines = [
        {"t": 1.0, "event": "ADDED", "object": pod()},
        {"t": 2.0, "probe": {"name": "m", "status": 200, "answers": ""}},
        {"t": 3.0, "event": "ADDED", "object": other},
        {"t": 3.2, "probe": {"name": "m", "status": 200, "answers": ""}},
        {"t": 3.4, "event": "DELETED", "object": pod()},
    ]
    history = History.read(write(tmp_path / "h.jsonl", *lines))
    assert [len(at(history, t).replies) for t in (2.9, 3.1, 3.3, 4.5)] == [1, 0, 1, 1]


def test_an_adapter_asked_of_a_pod_shows_what_the_pod_lists(tmp_path: Path) -> None:
    found = pod(**{"adapter.kubeai.org/law": "h", "adapter.kubeai.org/med": "h"})
    lines = [{"t": 1.0, "event": "ADDED", "object": found}]
    lines += [
        {"t": t, "probe": {"name": f"p {a}", "status": s, "answers": ""}} for t, a, s in ((1.5, "law", 200), (2.0, "med", 404))
    ]
    history = History.read(write(tmp_path / "h.jsonl", *lines))

    def listed(t: float) -> list[str]:
        (reply,) = (r for r in at(history, t).replies if r.pod == "p")
        return [one["id"] for one in json.loads(reply.text)["data"]]

    assert listed(1.6) == ["law", "m", "med"]
    assert listed(2.1) == ["law", "m"]


def test_logs_come_from_what_a_person_could_read_then(tmp_path: Path) -> None:
    log = {"kind": "PodLog", "pod": "p", "container": "server", "previous": True, "text": "boom"}
    history = History.read(
        write(
            tmp_path / "h.jsonl",
            {"t": 2.0, "do": "log tail of p/server (previous container)", "object": log},
            {"t": 3.0, "do": "pod q: container loader exits 1 Error; its log ends: no space"},
        )
    )
    assert at(history, 1.9).logs == ()
    assert [(x.pod, x.container, x.text, x.previous) for x in at(history, 3.0).logs] == [
        ("p", "server", "boom", True),
        ("q", "loader", "no space", True),
    ]


def test_the_clock_is_read_from_the_objects(tmp_path: Path) -> None:
    lease = {"kind": "Lease", "metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-01T00:00:04.250000Z"}}
    going = {**pod(), "metadata": {**pod()["metadata"], "deletionTimestamp": "2026-01-01T00:09:00Z"}}
    history = History.read(
        write(tmp_path / "h.jsonl", {"t": 4.0, "event": "ADDED", "object": lease}, {"t": 4.5, "event": "ADDED", "object": going})
    )
    assert history.now(4.0).isoformat() == "2026-01-01T00:00:04.250000+00:00"


def test_a_refused_request_is_known_from_its_answer_on() -> None:
    history = load("kserve/spec-refused")
    assert history.refusal(history.asked_at) == ""
    assert "MinReplicas" in history.refusal(history.seconds)


def test_what_was_asked_for_is_what_the_api_server_stored() -> None:
    stored = load("deployment/update-good").expected().manifest
    assert "--model_revision=v2" in str(stored)
    assert stored["metadata"]["generation"] == 2
    assert load("kubeai/delete").expected().present is False


def test_kubeais_configuration_is_where_a_client_reads_it() -> None:
    _, observed, _ = seen_at("kubeai/create-unknown-profile", 5)
    config = observed.get("ConfigMap", "kubeai-config")
    assert config is not None
    assert "resourceProfiles" in json.loads(config["data"]["system.yaml"])
    assert "ConfigMap" not in observed.kinds


@pytest.mark.parametrize("name", recorded())
def test_moments_are_ordered_and_after_the_request(name: str) -> None:
    history = load(name)
    times = history.times()
    assert times == sorted(set(times))
    assert times[0] >= history.asked_at
    assert times[-1] <= history.seconds + 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no header"),
        ("{}", "no header"),
        ("[]", "no header"),
        ("{", "line 1"),
        (json.dumps({"history": "h", "want": {}, "truth": [{"from": 0}]}), "no header"),
    ],
)
def test_what_is_no_history_is_refused_by_name(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=says) as fault:
        History.read(path)
    assert "x.jsonl" in str(fault.value)


def test_trimming_keeps_truth_objects_and_moments(tmp_path: Path) -> None:
    full = {
        **pod(x="1"),
        "status": {"hostIP": "1.2.3.4", "phase": "Running", "containerStatuses": [{"name": "c", "imageID": "i", "ready": True}]},
    }
    slice_ = {"kind": "EndpointSlice", "metadata": {"name": "e"}}
    path = write(
        tmp_path / "h.jsonl",
        {"t": 2, "event": "ADDED", "object": full},
        {"t": 3, "event": "ADDED", "object": slice_},
        system={"a": 1},
    )
    size = copy(path, tmp_path / "out" / "h.jsonl.gz")
    packed = tmp_path / "out" / "h.jsonl.gz"
    assert size == packed.stat().st_size
    short = History.read(packed)
    assert short.truth == History.read(path).truth
    kept = at(short, 9).get("Pod", "p")
    assert kept["status"] == {"phase": "Running", "containerStatuses": [{"name": "c", "ready": True}]}
    assert at(short, 9).get("EndpointSlice", "e") is None
    assert "system" not in json.loads(gzip.decompress(packed.read_bytes()).splitlines()[0])
    before = packed.read_bytes()
    copy(path, packed)
    assert packed.read_bytes() == before


def test_a_request_that_was_refused_is_a_verdict_of_its_own(tmp_path: Path) -> None:
    answer = {"kind": "Status", "message": "something new is not allowed"}
    history = History.read(write(tmp_path / "h.jsonl", {"t": 2.0, "do": "the API server answers 422", "object": answer}))
    last = judge(history).moments[-1].verdict
    assert (last.reason, last.detail) == ("write_refused", "something new is not allowed")
