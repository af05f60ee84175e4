"""Weights that a server made up: read from its log, and a run that answers with them is not ready."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.history import CASES, load, seen_at
from support.verdicts import ends

from airflow_provider_llmserve.readiness.observed import Observed, PodLog
from airflow_provider_llmserve.readiness.pods import WantedLog, logs_wanted
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.readiness.weights import misfit_of, missing_weights
from airflow_provider_llmserve.replay.hearing import hear
from airflow_provider_llmserve.replay.judge import assess_of

ROWS: list[dict[str, Any]] = yaml.safe_load((CASES / "weights.yaml").read_text())
MADE_UP = next(row for row in ROWS if row["name"] == "a classifier asked for as text generation")


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["name"])
def test_the_weights_that_were_made_up(row: dict[str, Any]) -> None:
    assert missing_weights(row["log"]) == row["made_up"]


def test_colours_prefixes_and_merged_layers() -> None:
    log = (
        "2026-11-23 22:09:13.709 1 transformers WARNING [loading_report.py:log():230] \x1b[1mBertForMaskedLM LOAD REPORT\x1b[0m from: m\n"
        "Key                             | Status  |\nencoder.layer.{0, 1}.output.bias | \x1b[31mMISSING\x1b[0m |  | \n"
    )
    assert missing_weights(log) == "BertForMaskedLM: encoder.layer.{0, 1}.output.bias"
    assert missing_weights("a | MISSING |") == "", "a row without its title is another table"
    assert missing_weights("\n".join(["X LOAD REPORT from: m", *(f"w{i} | MISSING |" for i in range(6))])).endswith(
        "w3 and 2 more"
    )


def server(image: str, *, name: str = "server", ready: bool = True) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": name, "image": image}]},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": name, "ready": ready, "state": {"running": {}}}],
        },
    }


POD = server("kserve/huggingfaceserver:v0.20.0")


def test_a_ready_pod_that_made_weights_up_is_in_trouble() -> None:
    found = misfit_of([POD], Observed((POD,), logs=(PodLog("p", "server", MADE_UP["log"]),)))
    assert found is not None
    assert (found.reason, found.fatal, found.pod, found.container) == ("weights_misfit", True, "p", "server")
    assert "BertLMHeadModel: cls.predictions.bias" in found.detail


@pytest.mark.parametrize(
    "log",
    [
        PodLog("other", "server", MADE_UP["log"]),
        PodLog("p", "sidecar", MADE_UP["log"]),
        PodLog("p", "server", MADE_UP["log"], previous=True),
        PodLog("p", "server", "Application startup complete."),
    ],
)
def test_other_logs_do_not_count(log: PodLog) -> None:
    assert misfit_of([POD], Observed((POD,), logs=(log,))) is None


def test_a_pod_that_is_not_ready_is_diagnosed_by_other_rules() -> None:
    pod = server("kserve/huggingfaceserver:v0.20.0", ready=False)
    assert misfit_of([pod], Observed((pod,), logs=(PodLog("p", "server", MADE_UP["log"]),))) is None


@pytest.mark.parametrize(
    ("pod", "asked"),
    [
        (POD, True),
        (server("mirror.acme.lan/serve:7"), True),
        (server("mirror.acme.lan/huggingfaceserver:7", name="kserve-container"), True),
        (server("vllm/vllm-openai:v0.20.0"), False),
        (server("ollama/ollama"), False),
        (server("istio/proxyv2", name="istio-proxy"), False),
    ],
)
def test_a_ready_servers_log_is_asked_for_once(pod: dict[str, Any], asked: bool) -> None:
    name = pod["spec"]["containers"][0]["name"]
    assert logs_wanted(Observed((pod,))) == ((WantedLog("p", name),) if asked else ())


@given(st.lists(st.text() | st.sampled_from([r["log"] for r in ROWS] + ["X LOAD REPORT from: ", "| MISSING |"])))
def test_no_log_raises(parts: list[str]) -> None:
    missing_weights("\n".join(parts))


@pytest.mark.parametrize(
    ("name", "at"), [("deployment/create-two-one-slow", 29.2), ("kserve/create-ready", 13.8), ("kubeai/update-good", 7.5)]
)
def test_a_run_that_answers_with_them_is_not_ready(name: str, at: float) -> None:
    expected, observed, now = seen_at(name, at)
    assess = assess_of(load(name).kind)
    assert hear(assess, expected, observed, now).state is State.READY
    pods = [p for p in observed.of("Pod") if p.get("status", {}).get("phase") == "Running"]
    logs = [PodLog(p["metadata"]["name"], p["spec"]["containers"][0]["name"], MADE_UP["log"]) for p in pods]
    said = hear(assess, expected, observed.with_logs(*logs), now)
    assert (said.state, said.reason, ends(said)) == (State.FAILED, "weights_misfit", True)
    assert "cls.predictions.bias" in said.detail
    assert "huggingface_task" in said.advice
