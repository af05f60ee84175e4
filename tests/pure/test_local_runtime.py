"""Spec → plan, snapshot → verdict, spec → what has no effect here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.platforms.local.assess import Fault, Snapshot, assess
from airflow_provider_llmserve.platforms.local.plan import LocalAdapter, LocalFile, not_honoured, plan
from airflow_provider_llmserve.readiness.state import ReasonClass, State
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText

MODEL = LocalFile(path="/m.gguf", mark="1")
ADAPTER = LocalAdapter(name="tuned", path="/a.gguf", mark="1")
GOOD: dict[str, Any] = {
    "uid": "u", "version": 2, "wanted": 1, "ready": 1, "names": ("m", "m_tuned"), "proven": ("m", "m_tuned"),
}  # fmt: skip


def fault(what: Any, text: str = "", **more: Any) -> Fault:
    return Fault(what=what, text=text, **more)


WRONG_BASE = "tensor 'blk.0.attn_k.weight' has incorrect shape (hint: maybe wrong base model?)"


@pytest.mark.parametrize(
    ("change", "state", "reason", "reason_class"),
    [
        ({}, State.READY, "proven", ReasonClass.DONE),
        ({"uid": "another"}, State.SUPERSEDED, "superseded", ReasonClass.IMPOSSIBLE),
        ({"version": 3}, State.SUPERSEDED, "superseded", ReasonClass.IMPOSSIBLE),
        ({"deleting": True}, State.DELETING, "deleting", ReasonClass.WAITING),
        ({"ready": 0}, State.PROGRESSING, "starting", ReasonClass.WAITING),
        ({"ready": 0, "old": 2}, State.PROGRESSING, "old_version_serves", ReasonClass.WAITING),
        ({"proven": ("m",)}, State.PROGRESSING, "not_asked", ReasonClass.WAITING),
        ({"proven": (), "fault": fault("probe", "m: status 0")}, State.PROGRESSING, "not_answering", ReasonClass.WAITING),
        ({"stopped": True, "wanted": 0, "ready": 0}, State.SCALED_TO_ZERO, "stopped", ReasonClass.STOPPED),
        ({"stopped": True, "wanted": 0, "ready": 0, "ending": 1}, State.PROGRESSING, "stopping", ReasonClass.WAITING),
        ({"asleep": True, "wanted": 0, "ready": 0}, State.SCALED_TO_ZERO, "scaled_to_zero", ReasonClass.STOPPED),
        ({"ready": 0, "fault": fault("crash", "x")}, State.PROGRESSING, "container_restarting", ReasonClass.WAITING),
        ({"wanted": 2, "fault": fault("crash", "x")}, State.DEGRADED, "container_restarting", ReasonClass.WAITING),
        ({"ready": 0, "fault": fault("crash", "x", final=True)}, State.FAILED, "crash_loop", ReasonClass.IMPOSSIBLE),
        ({"ready": 0, "fault": fault("start", "no room", final=False)}, State.PROGRESSING, "engine_start_failed", ReasonClass.WAITING),
        ({"ready": 0, "fault": fault("start", "no room", final=True)}, State.FAILED, "engine_start_failed", ReasonClass.IMPOSSIBLE),
        (
            {"ready": 0, "fault": fault("start", "invalid magic characters: 'GARB'", final=True)},
            State.FAILED, "model_files_corrupt", ReasonClass.IMPOSSIBLE,
        ),
        (
            {"ready": 0, "old": 1, "fault": fault("start", WRONG_BASE, final=True)},
            State.DEGRADED, "adapter_base_mismatch", ReasonClass.IMPOSSIBLE,
        ),
        ({"fault": fault("port", "in use", final=True)}, State.DEGRADED, "port_in_use", ReasonClass.IMPOSSIBLE),
    ],
)  # fmt: skip
def test_verdicts(change: dict[str, Any], state: State, reason: str, reason_class: ReasonClass):
    seen = assess(Snapshot(**{**GOOD, **change}), name="m", uid="u", version=2)
    assert (seen.state, seen.reason, seen.reason_class) == (state, reason, reason_class)


def test_what_was_deleted_has_disappeared():
    assert assess(None, name="m", uid="u", version=2).reason == "disappeared"


def test_ready_does_not_hide_crashes_and_adapters_without_effect():
    seen = assess(
        Snapshot(**GOOD, inert=("tuned",), fault=fault("crash", "killed by SIGKILL", count=2)), name="m", uid="u", version=2
    )
    assert seen.state is State.READY
    assert "tuned" in seen.detail
    assert "SIGKILL" in seen.detail


@given(
    st.builds(
        Snapshot,
        uid=st.sampled_from(["u", "v"]),
        version=st.integers(1, 3),
        wanted=st.integers(0, 2),
        ready=st.integers(0, 2),
        old=st.integers(0, 1),
        names=st.just(("m", "m_tuned")),
        proven=st.sampled_from([(), ("m",), ("m", "m_tuned"), ("m_old", "m")]),
        fault=st.none() | st.builds(Fault, what=st.sampled_from(["start", "crash", "port", "probe"]), text=st.text(max_size=20)),
    )
)
def test_ready_only_of_this_version_with_all_servers_and_all_names_answered(seen: Snapshot):
    verdict = assess(seen, name="m", uid="u", version=2)
    proven = seen.uid == "u" and seen.version <= 2 and not (seen.deleting or seen.stopped or seen.asleep)
    if verdict.state is State.READY:
        assert proven
        assert seen.ready >= seen.wanted
        assert set(seen.names) <= set(seen.proven)
        assert not (seen.fault and seen.fault.final)


def kubeai(**fields: Any) -> KubeAIText:
    return KubeAIText.parse({"url": "hf://org/m", **fields})


def test_plan_of_a_kubeai_text_run():
    made = plan(kubeai(), "m", model=MODEL, adapters=(ADAPTER,), threads=3)
    assert made.served_names == {"m": None, "m_tuned": "tuned"}
    assert (made.replicas, made.min_replicas, made.threads, made.server.embedding) == (1, 1, 3, False)


@pytest.mark.parametrize(
    ("scaling", "replicas", "floor"),
    [
        ({}, 1, 1),
        ({"replicas": 3}, 3, 1),
        ({"replicas": 1, "min_replicas": 2}, 2, 2),
        ({"replicas": 3, "max_replicas": 2}, 2, 1),
        ({"min_replicas": 0}, 1, 0),
        ({"replicas": 2, "autoscaling_disabled": True, "min_replicas": 0}, 2, 2),
    ],
)
def test_replicas(scaling: dict[str, Any], replicas: int, floor: int):
    made = plan(kubeai(scaling=scaling), "m", model=MODEL)
    assert (made.replicas, made.min_replicas) == (replicas, floor)


def test_embeddings_need_a_pooling():
    assert plan(kubeai(features=["TextEmbedding"], engine="Infinity"), "m", model=MODEL).server.embedding
    spec = HuggingFaceServe.parse({"path": "hf://org/m", "huggingface_task": "text_embedding", "max_length": 512})
    made = plan(spec, "m", model=MODEL)
    assert made.server.embedding
    assert made.server.slot_context == 512
    assert made.served_names == {"model": None}


def test_what_has_no_effect_here_is_named():
    assert not_honoured(kubeai()) == []
    spec = kubeai(args=["--x"], profile="nvidia-l4", processors=2, scaling={"replicas": 2, "target_requests": 5})
    assert not_honoured(spec) == ["args", "processors", "profile", "scaling.target_requests"]
    hugging = HuggingFaceServe.parse({"path": "hf://org/m", "resources": {"gpu": 1}, "dtype": "float16"})
    assert not_honoured(hugging) == ["dtype", "resources"]
