"""Why an adapter does not load, from the log of KubeAI's manager: lines as v0.22.1 writes them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdicts import ends

from airflow_provider_llmserve.readiness.observed import Expected, Observed, PodLog
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.runtimes.kubeai import assess, logs_wanted
from airflow_provider_llmserve.runtimes.parts import LogTail

NOW = datetime(2026, 11, 24, 0, 47, 30, tzinfo=timezone.utc)
ASKED = NOW - timedelta(seconds=40)
RANK = 'load vllm adapter "big": unexpected status code: 400: LoRA rank 64 is greater than max_lora_rank 16.'
FETCH = 'exec adapter load for pod "ai/model-m-1": exec adapter load: streaming: command terminated with exit code 1'
LOADER = "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo for url https://huggingface.co/x"


def line(error: str, *, at: str = "2026-11-24T00:47:00Z", name: str = "m", namespace: str = "ai") -> str:
    """zap's console encoder."""
    about = {"controller": "model", "Model": {"name": name, "namespace": namespace}, "namespace": namespace, "name": name}
    return f"{at}\tERROR\tReconciler error\t{json.dumps({**about, 'error': f'reconciling adapters: {error}'})}"


def as_json(error: str) -> str:
    """zap's JSON encoder."""
    about = {"level": "error", "ts": "2026-11-24T00:47:00Z", "msg": "Reconciler error", "controller": "model"}
    return json.dumps({**about, "namespace": "ai", "name": "m", "error": f"reconciling adapters: {error}"})


def seen(*, adapters: tuple[str, ...] = ("big",), holder: str = "kubeai-7d9f_0b1c", log: str = "") -> tuple[Expected, Observed]:
    spec = {
        "engine": "VLLM",
        "url": "hf://acme/base",
        "features": ["TextGeneration"],
        "minReplicas": 1,
        "env": {"LLMSERVE_MARK": "m1"},
        "adapters": [{"name": a, "url": f"hf://acme/{a}"} for a in adapters],
    }
    labels = {"features.kubeai.org/TextGeneration": "true"}
    model = {
        "kind": "Model",
        "metadata": {"name": "m", "namespace": "ai", "uid": "u", "labels": labels},
        "spec": {**spec, "replicas": 1},
        "status": {"replicas": {"all": 1, "ready": 1}},
    }
    pod = {
        "kind": "Pod",
        "metadata": {"name": "model-m-1", "uid": "p", "ownerReferences": [{"kind": "Model", "name": "m", "uid": "u"}]},
        "spec": {"containers": [{"name": "server", "env": [{"name": "LLMSERVE_MARK", "value": "m1"}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    times = {"renewTime": "2026-11-24T00:47:29.000000Z", "leaseDurationSeconds": 15}
    lease = {
        "kind": "Lease",
        "metadata": {"name": "cc6bca10.substratus.ai", "namespace": "ai"},
        "spec": {"holderIdentity": holder, **times},
    }
    expected = Expected({**model, "metadata": {"name": "m", "namespace": "ai"}}, ASKED, "m1", uid="u")
    logs = (PodLog("kubeai-7d9f", "kubeai", log),) if log else ()
    return expected, Observed((model, pod, lease), frozenset({"Model", "Pod", "Lease"}), logs=logs)


def judge(*lines: str, **fields: Any) -> Verdict:
    expected, observed = seen(log="\n".join(lines), **fields)
    return assess(expected, observed, NOW)


@pytest.mark.parametrize("form", [line, as_json], ids=["console", "json"])
def test_a_refused_adapter_is_named_with_the_servers_words(form: Any) -> None:
    said = judge(form(RANK), form(RANK))
    assert (said.reason, said.state, ends(said), said.retryable) == ("adapter_rejected", State.DEGRADED, True, False)
    assert "big" in said.summary
    assert "(lora_rank_too_large)" in said.summary
    assert said.detail == "LoRA rank 64 is greater than max_lora_rank 16."
    assert "--max-lora-rank" in said.advice
    (proof,) = said.evidence
    assert RANK in proof.value
    assert proof.at == "2026-11-24T00:47:00+00:00"


def test_one_refusal_is_not_an_answer_yet() -> None:
    assert judge(line(RANK)).reason == "adapter_not_loaded"


def test_a_server_that_did_not_answer_has_not_refused() -> None:
    busy = 'load vllm adapter "big": unexpected status code: 503: busy'
    cut = 'load vllm adapter "big": sending http request: POST http://10.0.0.1:8000/v1/load_lora_adapter: EOF'
    for error in (busy, cut):
        assert judge(line(error), line(error)).reason == "adapter_not_loaded"


def test_a_download_that_fails_is_named_with_the_loaders_words() -> None:
    said = judge(
        "2026/11/24 00:46:59 Proxying request to ip 127.0.0.1:1: x", LOADER, line(FETCH), "sigs.k8s.io/controller-runtime"
    )
    assert (said.reason, ends(said)) == ("adapter_download_failed", False)
    assert "hf://acme/big" in said.summary
    assert "(hub_gated)" in said.summary
    assert said.detail == LOADER
    assert FETCH in said.evidence[0].value


def test_the_words_of_another_try_are_not_this_ones() -> None:
    other = line('exec adapter load for pod "ai/model-other-1": x', name="other")
    said = judge(LOADER, other, line(FETCH))
    assert said.reason == "adapter_download_failed"
    assert "hub_gated" not in said.summary
    assert FETCH in said.detail


def test_the_first_adapter_that_is_missing_is_the_one_that_failed() -> None:
    assert "adapter law " in judge(line(FETCH), adapters=("law", "big")).summary


@pytest.mark.parametrize(
    "told",
    [
        line(RANK, name="other"),
        line(RANK, namespace="elsewhere"),
        line(RANK, at="2026-11-24T00:46:00Z"),
        line(RANK.replace('"big"', '"old"')),
        line(FETCH.replace("model-m-1", "model-m-0")),
        line("update pod labels for pod: conflict"),
        RANK,
    ],
    ids=["other-model", "other-namespace", "before-us", "other-adapter", "other-pod", "other-error", "no-line-of-the-manager"],
)
def test_what_is_not_about_us_is_not_taken_for_ours(told: str) -> None:
    assert judge(told, told).reason == "adapter_not_loaded"


def test_only_the_leaders_log_counts() -> None:
    assert judge(line(RANK), line(RANK), holder="kubeai-other_1").reason == "adapter_not_loaded"
    expected, observed = seen()
    before = observed.with_logs(PodLog("kubeai-7d9f", "kubeai", "\n".join([line(RANK)] * 2), previous=True))
    assert assess(expected, before, NOW).reason == "adapter_not_loaded"


BIG = "load vllm adapter \"big\": unexpected status code: 500: Call to add_lora method failed: Worker failed with error 'LoRA rank 64 is greater than max_lora_rank 16.', please check the stack trace above for the root cause"


def test_a_500_that_names_a_lasting_cause_is_a_refusal_too() -> None:
    """As a real vLLM 0.32 says it (``recordings/kubeai-real``)."""
    said = judge(line(BIG), line(BIG))
    assert (said.reason, ends(said)) == ("adapter_rejected", True)
    assert "(lora_rank_too_large)" in said.summary


def no_pod(error: str, *, at: str = "2026-11-24T00:47:10Z", ago: int = 40, pods: int = 0, tries: int = 1) -> Verdict:
    """What is said of a Model of one pod more than there are."""
    expected, observed = seen(adapters=(), log="\n".join((line("x", name="other"), *[line(error, at=at)] * tries)))
    model, pod, lease = observed.objects
    more = {"minReplicas": pods + 1, "replicas": pods + 1}
    pod["metadata"]["creationTimestamp"] = "2026-11-24T00:47:05Z"  # type: ignore[index]
    look = Observed(({**model, "spec": {**model["spec"], **more}}, lease, *[pod][:pods]), observed.kinds, logs=observed.logs)
    asked = {**expected.manifest, "spec": {**expected.manifest["spec"], **more}}
    what = Expected(asked, NOW - timedelta(seconds=ago), "m1", uid="u")
    assert logs_wanted(what, look, NOW) == (LogTail("kubeai-7d9f", "kubeai", 1000),)
    return assess(what, look, NOW)


CREATING = 'unable to execute plan: creating pod: pods "model-m-5d4-x" is forbidden: '
SCC = 'unable to validate against any security context constraint: [provider "anyuid": Forbidden: not usable by user]'


@pytest.mark.parametrize(
    ("error", "word", "final"),
    [
        (f'{CREATING}pod rejected: RuntimeClass "nvidia" not found', "runtime_class_missing", True),
        (f"{CREATING}no PriorityClass with name gpu-high was found", "priority_class_missing", True),
        (f"{CREATING}exceeded quota: team, requested: pods=1, used: pods=1, limited: pods=1", "quota_exceeded", False),
        (f"{CREATING}failed quota: team: must specify limits.memory for: server", "quota_needs_limits", True),
        (f"{CREATING}maximum memory usage per Container is 1Gi, but limit is 2Gi", "limit_range", True),
        (f'{CREATING}violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false', "pod_security", True),
        (f"{CREATING}{SCC}", "pod_security", True),
        ('creating pod: admission webhook "w" denied the request: no label', "webhook_denied", True),
        ('creating pod: Internal error occurred: failed calling webhook "w": connection refused', "webhook_down", False),
        (f"{CREATING}ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no label", "policy_denied", True),
        (f'{CREATING}error looking up service account ai/m: serviceaccount "m" not found', "service_account_missing", False),
        ('getting model config: resource profile not found: "a100"', "unknown_resource_profile", True),
    ],
)
def test_why_no_pod_appears_is_said_at_once_with_the_managers_words(error: str, word: str, final: bool) -> None:
    assert no_pod(error, ago=22).reason != word, "one line may be about the spec before ours"
    assert no_pod(error).reason == word
    said = no_pod(error, ago=22, tries=2)
    assert (said.reason, ends(said)) == (word, final)
    assert error in said.detail
    assert said.advice
    assert error in said.evidence[0].value


def test_an_unknown_error_is_quoted_once_the_manager_had_its_time() -> None:
    odd = 'unable to execute plan: creating pod: Pod "m" is invalid: spec.containers[0].env[3].name: Invalid value'
    said = no_pod(odd)
    assert (said.reason, ends(said), said.detail) == ("manager_rejects", False, f"reconciling adapters: {odd}")
    assert no_pod(odd, ago=22).reason != "manager_rejects"
    assert (
        "pods of this version" in no_pod("Operation cannot be fulfilled: the object has been modified; please try again").detail
    )


def test_a_second_pod_that_is_refused_is_named_and_an_error_before_the_first_is_over() -> None:
    refused = f'{CREATING}pod rejected: RuntimeClass "nvidia" not found'
    said = no_pod(refused, pods=1)
    assert (said.state, said.reason, ends(said)) == (State.DEGRADED, "runtime_class_missing", True)
    assert no_pod(refused, pods=1, at="2026-11-24T00:47:01Z").reason == "pods_missing"
    assert no_pod(refused, at="2026-11-24T00:46:01Z").reason == "manager_rejects"


def test_the_log_is_wanted_only_while_a_pod_or_an_adapter_is_lacking() -> None:
    expected, observed = seen()
    assert logs_wanted(expected, observed, NOW) == (LogTail("kubeai-7d9f", "kubeai", 1000),)
    for holder in ("", "kubeai", "_1"):
        assert logs_wanted(*seen(holder=holder), NOW) == ()
    assert logs_wanted(*seen(adapters=()), NOW) == ()
    model, pod, lease = observed.objects
    starting = Observed((model, {**pod, "status": {"phase": "Running"}}, lease), observed.kinds)
    assert logs_wanted(expected, starting, NOW) == ()
    assert logs_wanted(expected, Observed(), NOW) == ()


@given(
    st.lists(st.one_of(st.text(), st.sampled_from([line(RANK), as_json(FETCH), LOADER, '{"controller": 1}', line(RANK)[:-9]])))
)
def test_no_log_breaks_a_verdict(lines: list[str]) -> None:
    assert judge(*lines).state != State.READY
