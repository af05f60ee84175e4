"""Verdicts on a Model that the recorded histories do not reach:
answers of single pods, weak proof, odd objects, missing fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.damage import GONE, paths, put
from support.history import load
from support.spec_strategies import json_values
from support.verdicts import ends

from airflow_provider_llmserve.readiness.observed import Expected, LabelsSeen, Observed, PodLog, Reply
from airflow_provider_llmserve.readiness.state import Ask, ReasonClass, State, Verdict
from airflow_provider_llmserve.replay.hearing import hear
from airflow_provider_llmserve.runtimes.kubeai import assess
from airflow_provider_llmserve.runtimes.kubeai.adapters import url_hash

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
ASKED = NOW - timedelta(seconds=60)
NOTHING_SEEN = LabelsSeen()
KINDS = frozenset({"Model", "Pod", "Event", "Lease", "Job", "PersistentVolumeClaim", "ConfigMap"})
MARK = "0123456789abcdef"
OTHER = [{"name": "LLMSERVE_MARK", "value": "of another change"}]
LAW, LAW2 = "hf://acme/lora-law", "hf://acme/lora-law-v2"
VLLM_404 = json.dumps({"error": {"message": "The model `x` does not exist.", "code": 404}})
GATEWAY_404 = json.dumps({"error": 'model not found: "x"'})


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def model(**spec: Any) -> dict[str, Any]:
    fields = {"url": "hf://acme/base", "engine": "VLLM", "features": ["TextGeneration"], "minReplicas": 1, "replicas": 1}
    fields = {**fields, "resourceProfile": "cpu:1", "env": {"LLMSERVE_MARK": MARK}, **spec}
    metadata = {"name": "m", "namespace": "ai", "uid": "u", "labels": {"features.kubeai.org/TextGeneration": "true"}}
    return {"kind": "Model", "metadata": metadata, "spec": fields, "status": {"replicas": {"all": 1, "ready": 1}}}


def pod(
    name: str = "p1", *, adapters: Mapping[str, str] | None = None, restarts: int = 0, labelled: float = 30, **over: Any
) -> dict[str, Any]:
    """A ready pod of :func:`model`, started 50 s ago; ``labelled``: seconds since its adapters' labels were written."""
    labels = {"model": "m", "pod-hash": "h", **{f"adapter.kubeai.org/{a}": url_hash(url) for a, url in (adapters or {}).items()}}
    written = {"f:metadata": {"f:labels": {f"f:adapter.kubeai.org/{a}": {} for a in adapters or {}}}}
    container: dict[str, Any] = {"name": "server", "env": [{"name": "LLMSERVE_MARK", "value": MARK}]}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "server",
                "ready": True,
                "restartCount": restarts,
                "state": {"running": {"startedAt": stamp(NOW - timedelta(seconds=50))}},
            }
        ],
    }
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "uid": name,
            "labels": labels,
            "creationTimestamp": stamp(NOW - timedelta(seconds=55)),
            "managedFields": [{"time": stamp(NOW - timedelta(seconds=labelled)), "fieldsV1": written}],
            "ownerReferences": [{"kind": "Model", "name": "m", "uid": "u", "controller": True}],
            **over.pop("metadata", {}),
        },
        "spec": {"containers": [{**container, **over.pop("container", {})}]},
        "status": {**status, **over.pop("status", {})},
    }


def reply(name: str = "m", status: int = 200, *, text: str = "", on: str = "") -> Reply:
    """What is answered to every question by that name, of that pod."""
    return Reply(Ask(name, on), status, NOW, text)


def lease(ago: float = 1, *, led: float = 3600) -> dict[str, Any]:
    times = {"acquireTime": stamp(NOW - timedelta(seconds=led)), "renewTime": stamp(NOW - timedelta(seconds=ago))}
    spec = {**times, "leaseDurationSeconds": 15}
    return {"kind": "Lease", "metadata": {"name": "cc6bca10.substratus.ai", "namespace": "ai"}, "spec": spec}


def judge(
    live: dict[str, Any],
    *objects: dict[str, Any],
    replies: tuple[Reply, ...] = (),
    kinds: frozenset[str] = KINDS,
    uid: str = "u",
    asked: datetime = ASKED,
    labels: LabelsSeen = NOTHING_SEEN,
) -> Verdict:
    stored = {"kind": "Model", "metadata": {"name": "m", "namespace": "ai"}, "spec": live["spec"]}
    expected = Expected(stored, asked, MARK, uid=uid)
    seen = (live, *(lease(),) * (not any(o["kind"] == "Lease" for o in objects)), *objects)
    return hear(assess, expected, Observed(seen, kinds, replies, labels=labels), NOW)


def with_law(**over: Any) -> dict[str, Any]:
    return model(adapters=[{"name": "law", "url": LAW}], **over)


def names(said: Verdict) -> list[str]:
    return [ask.pod or ask.name for ask in said.ask]


def test_ready_only_with_an_answer() -> None:
    assert judge(model(), pod(), replies=(reply(),)).state is State.READY
    for replies in ((), (reply("other"),)):
        said = judge(model(), pod(), replies=replies)
        assert (said.reason, names(said)) == ("not_asked", ["m"])


RUNNING = {"name": "server", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": stamp(NOW)}}}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"metadata": {"uid": "another"}}, False),
        ({"status": {"containerStatuses": [{**RUNNING, "restartCount": 1}]}}, False),
        ({"status": {"containerStatuses": [{**RUNNING, "containerID": "containerd://2"}]}}, False),
        ({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(NOW)}]}}, False),
        ({"labelled": 5}, False),
    ],
)
@pytest.mark.parametrize("skew", [-7200, 0, 7200])
def test_an_answer_counts_while_the_pods_are_those_that_were_asked(change: dict[str, Any], same: bool, skew: float) -> None:
    """And by no clock: the worker's may be hours off the node's (cases: cluster/kubeai_pure.py L)."""
    expected = Expected(
        {"kind": "Model", "metadata": {"name": "m", "namespace": "ai"}, "spec": with_law()["spec"]}, ASKED, MARK, "u"
    )
    now = NOW + timedelta(seconds=skew)

    def look(one: dict[str, Any], *replies: Reply) -> Verdict:
        return assess(expected, Observed((with_law(), one), KINDS - {"Lease"}, replies), now)

    asked = look(pod(adapters={"law": LAW})).ask
    answers = [Reply(ask, 200, now) for ask in asked]
    assert look(pod(adapters={"law": LAW}), *answers).state is State.READY
    said = look(pod(adapters={"law": LAW}, **change), *answers)
    assert (said.reason == "proven") == same
    assert same or "m_law" in said.summary


@pytest.mark.parametrize(
    ("features", "adapters", "asked"),
    [
        (["TextGeneration"], {}, ["m TextGeneration"]),
        (["TextGeneration", "TextEmbedding"], {}, ["m TextGeneration", "m TextEmbedding"]),
        (["TextEmbedding", "Reranking"], {}, ["m TextEmbedding", "m Reranking"]),
        (["TextGeneration", "TextEmbedding"], {"law": LAW}, ["m TextGeneration", "m TextEmbedding", "m_law TextGeneration"]),
        (["TextEmbedding"], {"law": LAW}, ["m TextEmbedding", "m_law TextEmbedding"]),
        ([], {}, ["m TextGeneration"]),
        (["TextGeneration", "SpeechToText"], {}, ["m TextGeneration"]),
    ],
)
def test_every_feature_is_asked_by_every_name(features: list[str], adapters: dict[str, str], asked: list[str]) -> None:
    live = with_law(features=features) if adapters else model(features=features)
    live["metadata"]["labels"] = {f"features.kubeai.org/{f}": "true" for f in features}
    said = judge(live, pod(adapters=adapters))
    assert [f"{a.name} {a.feature}" for a in said.ask] == asked
    done = judge(live, pod(adapters=adapters), replies=(reply(), reply("m_law")))
    assert done.state is State.READY
    assert ("SpeechToText" in done.detail) == ("SpeechToText" in features), "what was not asked is said"


def test_every_adapter_has_to_answer_too() -> None:
    said = judge(with_law(), pod(adapters={"law": LAW}), replies=(reply(),))
    assert (said.reason, names(said)) == ("not_asked", ["m", "m_law"])
    assert judge(with_law(), pod(adapters={"law": LAW}), replies=(reply(), reply("m_law"))).state is State.READY


def test_an_adapter_that_was_taken_out_and_is_still_labelled() -> None:
    both = pod(adapters={"law": LAW, "med": LAW2})
    assert judge(with_law(), both, replies=(reply(), reply("m_law"))).reason == "adapter_still_loaded"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (["m", "law"], ["m", "law"], "proven"),
        (["m", "law"], ["m"], "adapter_not_loaded"),
        (None, ["m", "law"], "proven"),
    ],
)
def test_with_several_pods_each_is_asked_what_it_holds(first: list[str] | None, second: list[str], reason: str) -> None:
    def held(names: list[str] | None, on: str) -> Reply:
        if names is None:
            return reply(status=403, text=MAY_NOT, on=on)
        return reply(text=json.dumps({"data": [{"id": n} for n in names]}), on=on)

    pods = [pod("p1", adapters={"law": LAW}), pod("p2", adapters={"law": LAW})]
    answers = (reply(), reply("m_law"))
    assert names(judge(with_law(replicas=2), *pods, replies=answers)) == ["m", "m_law", "p1", "p2"]
    said = judge(with_law(replicas=2), *pods, replies=(*answers, held(first, "p1"), held(second, "p2")))
    assert said.reason == reason
    rests = "p1" in said.detail and "pods/proxy" in said.detail
    assert rests == (first is None and reason == "proven"), "says what it rests on"


MAY_NOT = 'pods "p1" is forbidden: User "airflow" cannot get resource "pods/proxy" in API group "" in the namespace "ai"'


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "no answer in 10 s"),
        (500, "killed"),
        (503, "error trying to reach service: dial tcp 10.0.0.7:8000: connect: connection refused"),
        (403, '{"error": "api key missing"}'),
    ],
)
def test_a_pod_that_was_asked_and_did_not_answer_speaks_against_ready(status: int, text: str) -> None:
    """A killed or hung replica of a real vLLM was called Ready, since another answered through the gateway."""
    pods = [pod("p1", adapters={"law": LAW}), pod("p2", adapters={"law": LAW})]
    holds = json.dumps({"data": [{"id": "m"}, {"id": "law"}]})
    answers = (reply(), reply("m_law"), reply(text=holds, on="p1"), reply(status=status, text=text, on="p2"))
    said = judge(with_law(replicas=2), *pods, replies=answers)
    assert (said.state, said.reason) == (State.DEGRADED, "not_answering")
    assert "pod p2" in said.summary
    assert text in said.detail


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["m:latest", "qwen3:0.6b"], "proven"),
        (["m"], "proven"),
        (["qwen3:0.6b"], "model_not_in_server"),
        ([], "model_not_in_server"),
    ],
)
def test_each_pod_of_ollama_holds_the_model(names: list[str], reason: str) -> None:
    """KubeAI #721: a pod may be Ready though it never pulled anything (cases: cluster/more2.py A)."""
    live = model(engine="OLlama", url="ollama://qwen3:0.6b", replicas=2, minReplicas=2)
    good, other = (
        reply(text=json.dumps({"data": [{"id": n} for n in ids]}), on=on) for ids, on in ((["m:latest"], "p1"), (names, "p2"))
    )
    said = judge(live, pod("p1"), pod("p2"), replies=(reply(), good, other))
    assert said.reason == reason
    assert reason == "proven" or "pod p2 is ready" in said.summary


def test_a_cut_list_of_models_proves_nothing_and_refutes_nothing() -> None:
    pods = [pod("p1", adapters={"law": LAW}), pod("p2", adapters={"law": LAW})]
    cut = [reply(text='{"data": [{"id": "m"}, {"id"', on=p) for p in ("p1", "p2")]
    said = judge(with_law(replicas=2), *pods, replies=(reply(), reply("m_law"), *cut))
    assert said.state is State.READY
    assert "the list of p1, p2 could not be read" in said.detail


def test_an_adapter_that_answers_like_the_base() -> None:
    def answer(name: str, *logprobs: float) -> Reply:
        return reply(name, text=json.dumps({"choices": [{"text": "Paris", "logprobs": {"token_logprobs": logprobs}}]}))

    law = pod(adapters={"law": LAW})
    assert judge(with_law(), law, replies=(answer("m", -0.1), answer("m_law", -0.1))).reason == "wrong_answer"
    assert judge(with_law(), law, replies=(answer("m", -0.1), answer("m_law", -0.2))).state is State.READY
    same_words = reply("m_law", text=json.dumps({"choices": [{"text": "Paris"}]}))
    assert judge(with_law(), law, replies=(answer("m", -0.1), same_words)).state is State.READY, "not comparable"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (VLLM_404, "model_not_in_server"),
        (GATEWAY_404, "not_answering"),
        ('{"kind":"Status"}', "not_answering"),
        ("", "not_answering"),
    ],
)
def test_only_the_model_server_itself_says_that_it_lacks_the_model(text: str, reason: str) -> None:
    assert judge(model(), pod(), replies=(reply(status=404, text=text),)).reason == reason


@pytest.mark.parametrize(("restarts", "reason"), [(1, "adapter_lost"), (0, "not_answering")])
def test_an_adapter_lost_in_a_restart(restarts: int, reason: str) -> None:
    replies = (reply(), reply("m_law", 404, text=VLLM_404))
    said = judge(with_law(), pod(adapters={"law": LAW}, restarts=restarts), replies=replies)
    assert said.reason == reason
    assert said.ask, "is asked again"


@pytest.mark.parametrize(
    ("labelled", "made", "gained", "reason"),
    [
        (5, 600, False, "adapter_old_weights"),
        (5, 600, True, "proven"),
        (20, 600, None, "adapter_old_weights"),
        (5, 60, False, "adapter_old_weights"),
        (5, 30, False, "proven"),
        (20, 600, False, "proven"),
        (90, 600, False, "proven"),
    ],
    ids=[
        "early",
        "seen without it",
        "changed in place",
        "made in the second of our write",
        "a new pod",
        "has stood",
        "from before our write",
    ],
)
def test_a_label_that_may_be_early(labelled: float, made: float, gained: bool | None, reason: str) -> None:
    """A new URL under an old name shows its new label while the old weights answer (reference/kubeai.md, adapter trap a)."""
    one = pod(adapters={"law": LAW}, labelled=labelled)
    one["metadata"]["creationTimestamp"] = stamp(NOW - timedelta(seconds=made))
    label = frozenset({("p1", "adapter.kubeai.org/law")})
    seen = LabelsSeen(gained=label) if gained else LabelsSeen(changed=label) if gained is None else LabelsSeen()
    assert judge(with_law(), one, replies=(reply(), reply("m_law")), labels=seen).reason == reason


def test_a_label_that_stood_before_our_write_is_not_early_because_another_was_set() -> None:
    """The manager's labels have one time between them, that of the last one (seen on v0.22.1)."""
    one = pod(adapters={"law": LAW}, labelled=5)
    one["metadata"]["creationTimestamp"] = stamp(NOW - timedelta(seconds=600))
    stood = LabelsSeen(since={("p1", "adapter.kubeai.org/law"): NOW - timedelta(seconds=90)})
    assert judge(with_law(), one, replies=(reply(), reply("m_law"))).reason == "adapter_old_weights"
    assert judge(with_law(), one, replies=(reply(), reply("m_law")), labels=stood).reason == "proven"


@pytest.mark.parametrize(
    ("asked", "silent", "reason"),
    [(5, False, "controller_behind"), (60, False, "proven"), (60, True, "manager_not_running")],
    ids=["not seen yet", "a manager that takes no label away", "no manager"],
)
def test_pods_prove_nothing_until_the_manager_has_seen_our_write(asked: float, silent: bool, reason: str) -> None:
    """A ready pod made of another writer's arguments carries our mark: the manager sleeps, and has not replaced it yet."""
    live = model()
    live["metadata"]["labels"]["features.kubeai.org/unseen"] = "true"
    said = judge(live, pod(), lease(60 if silent else 1), replies=(reply(),), asked=NOW - timedelta(seconds=asked))
    assert said.reason == reason


def test_pods_that_are_no_part_of_it() -> None:
    foreign = pod("foreign", metadata={"ownerReferences": []})
    earlier = pod("earlier", metadata={"ownerReferences": [{"kind": "Model", "name": "m", "uid": "of-before"}]})
    assert judge(model(), pod(), foreign, earlier, replies=(reply(),)).state is State.READY


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (pod("p2", container={"env": OTHER}), "old_pod_still_serves"),
        (pod("p2", metadata={"deletionTimestamp": stamp(NOW)}), "surplus_pod"),
        (pod("p2", metadata={"deletionTimestamp": stamp(NOW)}, container={"env": OTHER}), "old_pod_still_serves"),
        (pod("p2"), "surplus_pod"),
        (
            pod("p2", status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            "evicted_node_memory",
        ),
    ],
)
def test_one_pod_too_many_is_not_ready(odd: dict[str, Any], reason: str) -> None:
    assert judge(model(), pod(), odd, replies=(reply(),)).reason == reason


def test_a_dead_pod_is_not_replaced_so_it_ends_the_wait() -> None:
    dead = pod(status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."})
    said = judge(model(), dead)
    assert (said.state, said.reason_class) == (State.FAILED, ReasonClass.IMPOSSIBLE)
    assert "kubectl delete pod p1" in said.advice


@pytest.mark.parametrize(
    ("ago", "objects", "reason"),
    [
        (1, (), "manager_rejects"),
        (60, (), "manager_not_running"),
        (60, (pod(container={"env": OTHER}),), "manager_not_running"),
        (60, (pod(),), "proven"),
    ],
)
def test_a_manager_that_does_not_run(ago: float, objects: tuple[dict[str, Any], ...], reason: str) -> None:
    assert judge(model(), lease(ago), *objects, replies=(reply(),)).reason == reason


def test_a_manager_that_came_back_a_moment_ago_rejects_nothing() -> None:
    old = pod(container={"env": OTHER})
    assert judge(model(), lease(led=3600), old).reason == "manager_rejects"
    assert judge(model(), lease(led=5), old).reason == "old_version_serves"


@pytest.mark.parametrize(
    ("told", "made", "reason"),
    [
        ("Stopping container server", -300, "old_version_serves"),
        ("Container server failed liveness probe, will be restarted", -300, "manager_rejects"),
        ("", -300, "manager_rejects"),
        ("", 45, "old_version_serves"),
    ],
)
def test_no_pod_was_made_is_not_said_while_the_manager_makes_and_deletes_pods(told: str, made: float, reason: str) -> None:
    """A pod with adapters takes 30 s to end, and one is replaced after the other."""
    old = pod(container={"env": OTHER}, metadata={"creationTimestamp": stamp(ASKED + timedelta(seconds=made))})
    killed = {
        "kind": "Event",
        "reason": "Killing",
        "message": told,
        "lastTimestamp": stamp(NOW - timedelta(seconds=5)),
        "involvedObject": {"kind": "Pod", "name": "model-m-5c-x"},
    }
    assert judge(model(), old, *([killed] if told else [])).reason == reason


@pytest.mark.parametrize(("ready", "state"), [(20, State.PROGRESSING), (45, State.DEGRADED)])
def test_an_adapter_is_late_only_when_its_pod_has_been_ready_for_long(ready: float, state: State) -> None:
    """A server may load for minutes before its manager can load anything into it."""
    turned = {"type": "Ready", "status": "True", "lastTransitionTime": stamp(NOW - timedelta(seconds=ready))}
    said = judge(with_law(), pod(status={"conditions": [turned]}))
    assert (said.reason, said.state) == ("adapter_not_loaded", state)
    assert bool(said.detail) == (state is State.DEGRADED)


def test_what_a_starting_server_waits_for_is_said() -> None:
    running = {"name": "server", "ready": False, "state": {"running": {"startedAt": stamp(NOW - timedelta(seconds=50))}}}
    starting = pod(status={"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [running]})
    live = model()
    seen = Observed(
        (live, lease(), starting), KINDS, logs=(PodLog("p1", "server", "Error retrieving file list, retrying 1 of 2"),)
    )
    stored = {"kind": "Model", "metadata": {"name": "m", "namespace": "ai"}, "spec": live["spec"]}
    found = assess(Expected(stored, ASKED, MARK, uid="u"), seen, NOW)
    assert (found.state, found.reason) == (State.PROGRESSING, "starting")
    assert "p1 says: Error retrieving file list" in found.detail


def test_superseded_stopped_and_gone() -> None:
    assert judge(model(), pod(), uid="another").state is State.SUPERSEDED
    stopped = model(autoscalingDisabled=True, replicas=0)
    assert judge(stopped).reason == "stopped"
    assert judge(model(minReplicas=0, replicas=0)).reason == "scaled_to_zero"
    assert judge({"kind": "Other", "metadata": {}, "spec": model()["spec"]}).reason == "disappeared"
    unseen = judge({"kind": "Other", "metadata": {}, "spec": model()["spec"]}, kinds=frozenset())
    assert unseen.reason == "not_applied", "what was not listed is not absent"


def test_a_cached_model_is_ready_when_the_manager_says_it_is_in_the_cache() -> None:
    live = model(cacheProfile="shared", url="pvc://none")
    assert judge(live, pod(), replies=(reply(),)).state is State.PROGRESSING
    live["status"]["cache"] = {"loaded": True}
    assert judge(live, pod(), replies=(reply(),)).state is State.READY


@pytest.mark.parametrize(
    ("hashes", "reason", "words"),
    [
        (("h1", "h1"), "proven", ""),
        (("h1", "h2"), "old_pod_still_serves", "KubeAI has made a newer revision, h2"),
    ],
)
def test_of_one_mark_the_managers_newest_revision_is_current(hashes: tuple[str, str], reason: str, words: str) -> None:
    """A new configuration of the manager makes new pods of the same Model."""
    replicas = len(set(hashes)) % 2 + 1
    pods = [
        pod(f"p{i}", metadata={"labels": {"model": "m", "pod-hash": h}, "creationTimestamp": stamp(ASKED + timedelta(seconds=i))})
        for i, h in enumerate(hashes)
    ]
    answers = (reply(), reply(on="p0"), reply(on="p1"))
    said = judge(model(replicas=replicas, minReplicas=replicas), *pods, replies=answers)
    assert said.reason == reason
    assert words in said.detail


@pytest.mark.parametrize(
    ("env", "made", "system", "led", "reason"),
    [
        ([], 5, "", 3600, "mark_lost"),
        ([], 5, "", 10, "old_version_serves"),
        ([], 5, "modelServerPods: {jsonPatches: [{op: replace, path: /spec/containers/0/env, value: []}]}", 10, "mark_lost"),
        ([], -5, "", 3600, "manager_rejects"),
        (OTHER, 5, "", 3600, "manager_rejects"),
    ],
)
def test_a_mark_that_does_not_arrive(env: list[Any], made: float, system: str, led: float, reason: str) -> None:
    created = {"creationTimestamp": stamp(ASKED + timedelta(seconds=made))}
    objects = [pod(container={"env": env}, metadata=created), lease(led=led)]
    if system:
        data = {"system.yaml": f"resourceProfiles: {{cpu: {{requests: {{cpu: 1}}}}}}\n{system}"}
        objects.append({"kind": "ConfigMap", "metadata": {"name": "kubeai-config", "namespace": "ai"}, "data": data})
    said = judge(model(), *objects, replies=(reply(),))
    assert said.reason == reason
    assert ends(said) == (reason == "mark_lost")


def test_being_deleted_by_somebody() -> None:
    live = model()
    live["metadata"]["deletionTimestamp"] = stamp(NOW)
    assert judge(live, pod(), replies=(reply(),)).state is State.DELETING


@pytest.mark.parametrize(
    ("history", "t", "reason", "words"),
    [
        ("cache-loads-then-ready", 8.6, "cache_loading", ""),  # the loader has ended well, and its pod still counts as running
        ("delete-after-cacheprofile-removed", 10.0, "finalizer_stuck", "was removed earlier"),
        ("delete-eviction-job-stuck", 20.0, "finalizer_stuck", "evict-cache-ivory does not finish"),
    ],
)
def test_moments_of_histories(history: str, t: float, reason: str, words: str) -> None:
    said = assess(*_snapshot(history, t))
    assert said.reason == reason
    assert words in said.detail


SAMPLES = [
    ("create-crash-loop", 20.0),
    ("update-good", 5.8),
    ("cache-job-fails", 10.0),
    ("create-two-adapters", 25.0),
    ("node-lost", 20.0),
]


def _snapshot(name: str, t: float) -> tuple[Expected, Observed, datetime]:
    history = load(f"kubeai/{name}")
    (_, observed), *_ = history.snapshots([t])
    wanted = [o for o in observed.objects if o.get("kind") != "Event"]
    return history.expected(), replace(observed, objects=tuple(wanted)), history.now(t)


@pytest.mark.parametrize(("name", "t"), SAMPLES)
def test_each_field_may_be_missing(name: str, t: float) -> None:
    expected, observed, now = _snapshot(name, t)
    for i, found in enumerate(observed.objects):
        for path in paths(found):
            changed = put(found, path, GONE)
            assess(expected, replace(observed, objects=(*observed.objects[:i], changed, *observed.objects[i + 1 :])), now)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 10**6), json_values, st.booleans())
def test_each_field_may_be_of_any_kind(sample: tuple[str, float], pick: int, value: Any, absent: bool) -> None:
    expected, observed, now = _snapshot(*sample)
    places = [(i, path) for i, found in enumerate(observed.objects) for path in paths(found) if path != ("kind",)]
    i, path = places[pick % len(places)]
    changed = put(observed.objects[i], path, value)
    objects = (*observed.objects[:i], changed, *observed.objects[i + 1 :])
    assess(replace(expected, present=not absent), replace(observed, objects=objects), now)


def config_map() -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "kubeai-config", "namespace": "ai"}, "data": {"system.yaml": CONFIG}}


CONFIG = json.dumps({"resourceProfiles": {"cpu": {"requests": {"cpu": 1}}}, "cacheProfiles": {"efs": {}}})
NO_GPU = {
    "phase": "Pending",
    "containerStatuses": [],
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
            "lastTransitionTime": stamp(NOW - timedelta(minutes=6)),
        }
    ],
}


@pytest.mark.parametrize(("least", "final"), [(1, False), (2, True)])
def test_what_an_autoscaler_cannot_add_to_the_minimum_that_serves_is_no_failure(least: int, final: bool) -> None:
    live = model(replicas=3, minReplicas=least, maxReplicas=5)
    found = judge(live, pod(), pod("p2", status=NO_GPU), pod("p3", status=NO_GPU), replies=(reply(),))
    assert (found.reason, found.state) == ("unschedulable_gpu", State.DEGRADED)
    assert ends(found) == final


def test_kubeai_that_is_being_installed_is_waited_for_and_none_at_all_is_not() -> None:
    bare = model()
    bare["metadata"]["labels"] = {}
    bare["spec"].pop("replicas")
    del bare["status"]
    expected = Expected({**bare, "metadata": {"name": "m", "namespace": "ai"}}, ASKED, MARK, uid="u")
    starting = assess(expected, Observed((bare, config_map()), KINDS), NOW)
    assert (starting.reason, starting.state, ends(starting)) == ("manager_not_running", State.UNMANAGED, False)
    none = assess(expected, Observed((bare,), KINDS), NOW)
    assert (none.reason, ends(none)) == ("namespace_not_watched", True)


def test_a_pod_whose_node_was_shut_down_goes_with_its_node() -> None:
    gone = {
        "phase": "Failed",
        "reason": "Terminated",
        "message": "Pod was terminated in response to imminent node shutdown.",
        "conditions": [{"type": "Ready", "status": "False"}],
    }
    found = judge(model(replicas=2, minReplicas=2), pod(), pod("p2", status=gone), replies=(reply(),))
    assert (found.reason, ends(found)) == ("node_shutdown", False)
    assert "KubeAI makes another" in found.advice


@pytest.mark.parametrize(("failed_at", "final"), [(ASKED - timedelta(seconds=30), False), (ASKED + timedelta(seconds=30), True)])
def test_a_job_that_failed_before_we_asked_says_nothing_of_this_try(failed_at: datetime, final: bool) -> None:
    live = model(cacheProfile="efs")
    live["status"] = {"cache": {"loaded": False}, "replicas": {"all": 0, "ready": 0}}
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "has reached the specified backoff limit",
    }
    condition = {**failed, "lastTransitionTime": stamp(failed_at)}
    job = {"kind": "Job", "metadata": {"name": "load-cache-m"}, "status": {"conditions": [condition]}}
    found = judge(live, job, lease(), config_map())
    assert (found.reason, ends(found)) == (("cache_load_failed", True) if final else ("cache_loading", False))
