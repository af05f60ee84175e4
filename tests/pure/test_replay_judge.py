"""The judge itself: verdicts that lie are caught, verdicts that are right are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from support.history import CASES, judge, load, recorded

from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.replay import __main__ as tool
from airflow_provider_llmserve.replay.__main__ import main
from airflow_provider_llmserve.replay.history import History, Truth
from airflow_provider_llmserve.replay.judge import assess_of


def always(state: State, reason: str) -> object:
    def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
        return verdict(state, reason, "")

    return assess


def oracle(history: History, shift: float = 0.0) -> object:
    """Says what the truth was ``shift`` seconds ago."""

    def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
        truth = history.truth_at((now - history.began).total_seconds() - shift)
        if truth.state == "scaled_to_zero" and not truth.cause:
            return verdict(State.SCALED_TO_ZERO, "scaled_to_zero", "")
        if truth.proven:
            return verdict(State.READY, "proven", "") if history.present else verdict(State.GONE, "gone", "")
        return verdict(State.PROGRESSING, "starting", "")

    return assess


@pytest.mark.parametrize("name", recorded()[::5])
def test_the_truth_itself_is_never_false(name: str) -> None:
    history = load(name)
    found = judge(history, oracle(history))  # type: ignore[arg-type]
    assert (found.false_ready, found.false_failed) == ([], [])
    assert (found.late or 0.0) == pytest.approx(0.0, abs=1.0)


def test_ready_too_early_is_caught() -> None:
    found = judge(load("deployment/update-good"), always(State.READY, "proven"))  # type: ignore[arg-type]
    assert found.false_ready
    assert all(not m.truth.proven for m in found.false_ready)


def test_a_second_is_within_the_recordings_precision() -> None:
    history = load("deployment/create-ready")
    assert judge(history, oracle(history, shift=-0.9)).false_ready == []  # type: ignore[arg-type]
    assert judge(history, oracle(history, shift=-2.2)).false_ready != []  # type: ignore[arg-type]


def test_ready_after_the_engine_died_is_caught() -> None:
    found = judge(load("deployment/ready-but-engine-dead"), always(State.READY, "proven"))  # type: ignore[arg-type]
    assert {m.truth.cause for m in found.false_ready} >= {"engine_dead"}


def test_an_answer_that_contradicts_the_truth_is_told_apart() -> None:
    found = judge(load("kubeai/node-lost"), always(State.READY, "proven"))  # type: ignore[arg-type]
    assert {round(m.t) for m in found.contradicted} <= {9, 10, 11}
    assert found.contradicted
    assert found.false_ready


def test_failed_though_it_heals_is_caught_by_state_and_by_class() -> None:
    healing = load("deployment/missing-secret")
    assert judge(healing, always(State.FAILED, "secret_missing")).false_failed  # type: ignore[arg-type]
    assert judge(healing, always(State.DEGRADED, "image_not_found")).false_failed  # type: ignore[arg-type]
    assert not judge(healing, always(State.DEGRADED, "secret_missing")).false_failed  # type: ignore[arg-type]
    assert not judge(load("deployment/oom-killed"), always(State.FAILED, "out_of_memory")).false_failed  # type: ignore[arg-type]


def test_failed_before_it_heals_is_caught() -> None:
    history = load("deployment/missing-secret")
    right = oracle(history)

    def hasty(expected: Expected, observed: Observed, now: datetime) -> Verdict:
        said: Verdict = right(expected, observed, now)  # type: ignore[operator]
        return said if said.state is State.READY else verdict(State.FAILED, "secret_missing", "")

    found = judge(history, hasty)
    assert found.false_failed
    assert not found.false_ready


def test_failed_is_not_false_because_it_is_taken_to_zero_later() -> None:
    failed = Truth(0.0, proven=False, state="failed", cause="image_pull")
    zero, ready = Truth(9.0, proven=False, state="scaled_to_zero", cause=""), Truth(9.0, proven=True, state="ready", cause="")
    history = load("deployment/update-bad-image")
    for later, false in ((zero, False), (ready, True)):
        history = replace(history, truth=[failed, later])
        found = judge(history, always(State.FAILED, "image_not_found"), times=[3.0])  # type: ignore[arg-type]
        assert bool(found.false_failed) == false


def test_zero_is_neither_ready_nor_failed() -> None:
    history = load("kserve/min-replicas-zero-none")
    assert judge(history, always(State.READY, "proven")).false_ready  # type: ignore[arg-type]
    assert judge(history, always(State.FAILED, "pod_failed")).false_failed  # type: ignore[arg-type]
    right = judge(history, oracle(history))  # type: ignore[arg-type]
    assert (right.false_ready, right.false_failed) == ([], [])
    # Zero by mistake is no success either.
    assert judge(load("kubeai/autoscaling-disabled-replicas-absent"), always(State.SCALED_TO_ZERO, "scaled_to_zero")).false_ready  # type: ignore[arg-type]


def test_the_cause_must_be_the_recorded_one() -> None:
    history = load("deployment/oom-killed")
    assert judge(history, always(State.FAILED, "out_of_memory")).wrong_cause == []  # type: ignore[arg-type]
    assert judge(history, always(State.FAILED, "invalid_flag")).wrong_cause  # type: ignore[arg-type]
    assert judge(history, always(State.PROGRESSING, "starting")).wrong_cause  # type: ignore[arg-type]


def test_lateness_is_the_longest_wait() -> None:
    history = load("deployment/create-ready")
    late = judge(history, oracle(history, shift=2.0)).late  # type: ignore[arg-type]
    assert late == pytest.approx(2.0, abs=1.0)
    never = judge(history, always(State.PROGRESSING, "starting"))  # type: ignore[arg-type]
    assert never.ready_at is None
    assert never.late == pytest.approx(history.seconds - 11.076)


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(LookupError, match="no runtime assesses a Banana"):
        assess_of("Banana")


def test_the_tool_ends_with_four_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CASES / "deployment" / "create-ready.jsonl.gz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("=")[0] for line in lines[-4:]] == ["false_ready", "false_failed", "wrong_cause", "late_ready_s"]
    assert lines[0].startswith("deployment/create-ready: Ready at ")


def test_the_tool_says_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no histories" in capsys.readouterr().err
    (tmp_path / "x.jsonl").write_text("{}")
    assert main([str(tmp_path)]) == 2
    assert "x.jsonl" in capsys.readouterr().err


OOM = str(CASES / "deployment" / "oom-killed.jsonl.gz")


def test_causes_stand_for_themselves_alone_without_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([OOM]) == 0, "a checkout has a table"
    monkeypatch.setattr(tool, "CAUSES", tmp_path / "none.json")
    assert main([OOM]) == 1
    said = capsys.readouterr()
    assert "wrong_cause=0" not in said.out.rsplit("histories=", 1)[-1]
    assert "--causes FILE" in said.err
    (tmp_path / "mine.json").write_text('{"oom_killed": ["out_of_memory"]}')
    assert main([OOM, "--causes", str(tmp_path / "mine.json")]) == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', None])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    assert main([OOM, "--causes", str(tmp_path / "x.json")]) == 2
    assert "x.json" in capsys.readouterr().err
