"""The words of the contract: frozen, documented, used, and each shown by at least one case."""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.history import CASES, load, seen_at
from support.verdicts import ends

import airflow_provider_llmserve
from airflow_provider_llmserve.readiness.cause_table import ROWS as CAUSES
from airflow_provider_llmserve.readiness.observed import Expected, Observed, Reply
from airflow_provider_llmserve.readiness.reason_table import SECTIONS
from airflow_provider_llmserve.readiness.reasons import REASONS, documentation, trouble_state, verdict
from airflow_provider_llmserve.readiness.state import Ask, ReasonClass, State
from airflow_provider_llmserve.replay.hearing import hear
from airflow_provider_llmserve.replay.judge import assess_of

PACKAGE = Path(airflow_provider_llmserve.__file__).parent
ROOT = PACKAGE.parent
FROZEN: dict[str, list[str]] = yaml.safe_load((CASES / "words.yaml").read_text())
MOMENTS: list[dict[str, Any]] = yaml.safe_load((CASES / "histories.yaml").read_text())


def test_the_words_are_frozen() -> None:
    """A word that goes, or changes its class, breaks who compares it: add it to the changelog when you change this list."""
    now: dict[str, list[str]] = {c.value: [] for c in ReasonClass}
    for word, reason in REASONS.items():
        now[reason.reason_class.value].append(word)
    assert {c: sorted(words) for c, words in now.items()} == FROZEN


def test_no_word_stands_twice() -> None:
    words = [row.word for _, rows in SECTIONS for row in rows]
    assert len(words) == len(set(words))


def test_each_word_is_documented() -> None:
    for word, reason in REASONS.items():
        assert re.fullmatch("[a-z0-9_]+", word)
        assert reason.meaning.endswith("."), word
        assert "|" not in reason.meaning + reason.advice, f"{word} would break the table"
        if reason.impossible:
            assert reason.advice.endswith((".", "?")), f"{word}: what is impossible needs a remedy"


def test_the_page_is_up_to_date() -> None:
    """Run ``python -m airflow_provider_llmserve.readiness.reasons > docs/reasons.md``."""
    assert (ROOT / "docs" / "reasons.md").read_text() == documentation()


def test_a_verdict_takes_class_retry_and_advice_from_the_table() -> None:
    said = verdict(State.FAILED, "image_not_found", "x")
    assert (said.reason_class, said.retryable, ends(said)) == (ReasonClass.IMPOSSIBLE, False, True)
    assert said.advice == REASONS["image_not_found"].advice
    assert verdict(State.FAILED, "image_not_found", "x", advice="do that").advice == "do that"
    assert not ends(verdict(State.PROGRESSING, "image_not_found", "x", fatal=False))
    assert ends(verdict(State.FAILED, "unschedulable_gpu", "x", fatal=True))
    with pytest.raises(KeyError):
        verdict(State.FAILED, "no_such_word", "x")


def test_failed_is_kept_for_what_does_not_heal() -> None:
    assert trouble_state(fatal=False, serving=False) is State.PROGRESSING
    assert trouble_state(fatal=True, serving=False) is State.FAILED
    assert trouble_state(fatal=False, serving=True) is State.DEGRADED
    assert trouble_state(fatal=True, serving=True) is State.DEGRADED


SOURCES = {p: p.read_text() for p in PACKAGE.rglob("*.py") if p.name not in ("reason_table.py", "cause_table.py")}


def test_every_word_can_be_said() -> None:
    said = {sign.reason for sign in CAUSES} | {w for source in SOURCES.values() for w in re.findall(r'"([a-z0-9_]+)"', source)}
    assert sorted(set(REASONS) - said) == []


def test_every_verdict_in_the_code_uses_a_word_of_the_table() -> None:
    makers = [source for source in SOURCES.values() if "verdict(" in source]
    calls = [n for source in makers for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    said = {
        call.args[1].value
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "verdict"
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant)
    }
    assert said, "the search itself must find something"
    assert sorted(said - set(REASONS)) == []


def words_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reason" and isinstance(inner, str):
                yield inner
            else:
                yield from words_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words_in(inner)


def test_every_word_stands_in_a_case() -> None:
    """In a row of ``cases/``, or in the code of another test file by name."""
    logs = gzip.decompress((CASES / "huggingfaceserver-logs.ndjson.gz").read_bytes()).splitlines()
    shown = {json.loads(line)["reason"] for line in logs}
    shown |= {w for path in CASES.glob("*.yaml") for w in words_in(yaml.safe_load(path.read_text()))}
    tests = "\n".join(p.read_text() for p in CASES.parent.parent.rglob("test_*.py") if p != Path(__file__))
    missing = [w for w in REASONS if w not in shown and f'"{w}"' not in tests and not ("_" in w and w in tests)]
    assert missing == []


def laid_over(base: Any, top: Any) -> Any:
    if not isinstance(top, dict):
        return top
    return {**(base or {}), **{k: laid_over((base or {}).get(k), v) for k, v in top.items()}}


def seen_in(row: dict[str, Any]) -> tuple[Expected, Observed, datetime]:
    """A row's moment; ``patch`` is laid over the primary object, ``replies`` are answers given at that moment."""
    expected, observed, now = seen_at(row["history"], row["at"])
    kind, name = expected.manifest["kind"], expected.manifest["metadata"]["name"]
    objects = [
        laid_over(o, row.get("patch", {})) if o["kind"] == kind and o["metadata"]["name"] == name else o for o in observed.objects
    ]
    replies = [Reply(Ask(r["name"], r.get("pod", "")), r["status"], now, r.get("text", "")) for r in row.get("replies", ())]
    return expected, replace(observed, objects=tuple(objects), replies=(*observed.replies, *replies)), now


@pytest.mark.parametrize("row", MOMENTS, ids=lambda r: f"{r['history']}@{r['at']}")
def test_moment(row: dict[str, Any]) -> None:
    history = load(row["history"])
    assess = assess_of(history.kind)
    said = hear(assess, *seen_in(row))
    assert (said.state.value, said.reason) == (row["state"], row["reason"])
    if row.get("absent"):
        expected = history.expected()
        for t, observed in history.snapshots(t for t in history.times(every=5.0, apart=0.5) if t <= row["at"]):
            assert hear(assess, expected, observed, history.now(t)).reason not in row["absent"], t


@pytest.mark.parametrize(
    ("state", "word", "outcome", "at_zero_refused", "absent"),
    [
        (State.READY, "proven", "success", "success", "waiting"),
        (State.SCALED_TO_ZERO, "stopped", "success", "failed", "failed"),
        (State.SCALED_TO_ZERO, "replicas_absent", "failed", "failed", "failed"),
        (State.SUPERSEDED, "superseded", "superseded", "superseded", "superseded"),
        (State.DEGRADED, "image_not_found", "failed", "failed", "failed"),
        (State.FAILED, "image_not_found", "failed", "failed", "failed"),
        (State.GONE, "gone", "waiting", "waiting", "success"),
        (State.GONE, "disappeared", "failed", "failed", "success"),
        (State.PROGRESSING, "starting", "waiting", "waiting", "waiting"),
        (State.DELETING, "finalizer_stuck", "waiting", "waiting", "waiting"),
    ],
)
def test_how_a_verdict_ends_a_wait(state: State, word: str, outcome: str, at_zero_refused: str, absent: str) -> None:
    said = verdict(state, word, "")
    assert (said.outcome(), said.outcome(accept_zero=False), said.outcome(absent=True)) == (outcome, at_zero_refused, absent)
