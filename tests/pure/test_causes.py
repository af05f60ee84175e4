"""The table of failure texts: every row finds its own text, none hides another, real logs name their cause, nothing raises."""

from __future__ import annotations

import gzip
import json
from itertools import product
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.history import CASES

from airflow_provider_llmserve.readiness.cause_table import FAMILY, ROWS, Place, Sign
from airflow_provider_llmserve.readiness.causes import cause_in, cause_in_log, sign_in, system_of
from airflow_provider_llmserve.readiness.log_lines import last_line, tidy
from airflow_provider_llmserve.readiness.reasons import REASONS

LOGS = [json.loads(x) for x in gzip.decompress((CASES / "huggingfaceserver-logs.ndjson.gz").read_bytes()).splitlines()]
TEXTS: list[dict[str, Any]] = yaml.safe_load((CASES / "texts.yaml").read_text())


@pytest.mark.parametrize("sign", ROWS, ids=lambda s: f"{'+'.join(sorted(s.where))}-{s.reason}")
def test_each_row_is_found_by_its_own_text(sign: Sign) -> None:
    assert sign.reason in REASONS
    assert sign.texts or sign.beside, "a row without either would match everything"
    assert "|" not in "".join((*sign.texts, *sign.beside, sign.advice or "")), "would break the table of docs/reasons.md"
    for system, where, beside, text in product(sign.system, sign.where, sign.beside or ("",), sign.texts or ("",)):
        said = text.replace("…", " some words in between ")
        found = cause_in(where, beside, said, "" if system == "any pod" else system)
        assert found is not None, (where, beside, text)
        assert found.reason == sign.reason, f"{text!r} is hidden by a row of {found.reason}"
        if sign.advice:
            assert found.advice == sign.advice


@pytest.mark.parametrize("case", TEXTS, ids=lambda c: f"{c.get('system', '')}-{c['reason']}")
def test_text(case: dict[str, Any]) -> None:
    found = cause_in(case.get("where", "log"), case.get("beside", ""), case["text"], case.get("system", ""))
    assert (found.reason if found else None) == case["reason"]


def test_each_row_is_shown_by_a_case() -> None:
    """A row without a text as the system really writes it is a guess."""
    said = [(c.get("where", "log"), c.get("beside", ""), c["text"], c.get("system", "")) for c in TEXTS]
    said += [("log", "", c["log"], c["system"]) for c in LOGS]
    shown = {found[0] for one in said if (found := sign_in(*one))}
    assert [sign for sign in ROWS if sign not in shown] == []


@pytest.mark.parametrize("case", LOGS, ids=lambda c: c["note"] or c["cli"][:40])
def test_real_logs_of_huggingfaceserver(case: dict[str, Any]) -> None:
    """169 command lines of the real server and storage initializer: what failed is named, what served is not accused."""
    found = cause_in_log(case["log"], case["system"])
    assert (found.reason if found else None) == case["reason"]
    if case["outcome"] == "serves":
        assert found is None


def test_the_first_row_wins_over_the_generic_last_line() -> None:
    log = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\nRuntimeError: Engine core initialization failed. See root cause above."
    found = cause_in_log(log, "vllm")
    assert found is not None
    assert (found.reason, found.line) == (
        "gpu_out_of_memory",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    )
    generic = cause_in_log(log.splitlines()[1], "vllm")
    assert generic is not None
    assert generic.reason == "engine_start_failed"


def test_a_row_counts_in_its_place_and_for_its_system_only() -> None:
    assert cause_in_log("exceeded quota: team") is None
    assert cause_in("api", "", "exceeded quota: team") is not None
    assert cause_in_log("does not support generate", "vllm") is None
    assert cause_in_log("does not support generate", "ollama") is not None
    assert cause_in("condition", "SomethingElse", "0/4 nodes: Insufficient cpu") is None


def test_colours_and_prefixes_do_not_matter() -> None:
    line = (
        "\x1b[1;36m(EngineCore pid=12)\x1b[0;0m ERROR 11-23 22:18:48 [core.py:1231] ValueError: \x1b[31mCUDA out\x1b[0m of memory"
    )
    found = cause_in_log(line, "vllm")
    assert found is not None
    assert found.line == "ValueError: CUDA out of memory"
    assert tidy("2026-11-23 22:09:13.709 1 kserve ERROR [__main__.py:<module>():402] Failed to start") == "Failed to start"
    assert last_line("one\n\n  two \x1b[0m\n\n") == "two"


@pytest.mark.parametrize(
    ("container", "system"),
    [
        ({"name": "server", "image": "vllm/vllm-openai:v0.10.1"}, "vllm"),
        ({"name": "server", "image": "registry.example.com/ml/huggingfaceserver:v0.20.0-gpu"}, "huggingfaceserver"),
        ({"name": "server", "image": "ollama/ollama"}, "ollama"),
        ({"name": "server", "image": "michaelf34/infinity:latest-cpu"}, "infinity"),
        ({"name": "loader", "image": "mirror/x"}, "kubeai-loader"),
        ({"name": "storage-initializer", "image": "mirror/x"}, "storage-initializer"),
        ({"name": "server", "image": "mirror/x"}, ""),
        ({}, ""),
    ],
)
def test_the_system_is_read_from_name_and_image(container: dict[str, str], system: str) -> None:
    assert system_of(container) == system
    assert system in FAMILY


@settings(max_examples=50)
@given(
    st.sampled_from(get_args(Place)),
    st.text(max_size=30) | st.sampled_from(sorted({on for sign in ROWS for on in sign.beside})),
    st.text(max_size=300) | st.lists(st.sampled_from([t for sign in ROWS for t in sign.texts]), max_size=3).map("\n".join),
    st.sampled_from(["nonsense", *FAMILY]),
)
def test_no_text_raises(where: Place, reason: str, message: str, system: str) -> None:
    found = cause_in(where, reason, message, system)
    assert found is None or found.reason in REASONS
    cause_in_log(message, system)
    last_line(message)


@pytest.mark.parametrize("junk", [None, 5, b"x", ["a"], {}])
def test_no_type_raises(junk: Any) -> None:
    cause_in("log", junk, junk)
    cause_in("nowhere", "", "x")  # type: ignore[arg-type]
    last_line(junk)
    system_of({"name": junk, "image": junk})
