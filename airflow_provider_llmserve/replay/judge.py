"""Our verdicts against a history's truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_llmserve.readiness.causes import cause_in
from airflow_provider_llmserve.readiness.fields import name_of
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Outcome, State, Verdict
from airflow_provider_llmserve.replay.hearing import Assess, hear
from airflow_provider_llmserve.replay.history import FRESH, History, Truth
from airflow_provider_llmserve.runtimes import runtimes_of

TOLERANCE = 1.0
"""Seconds. The truth's times come from the harness that plays the pods and are right to about this."""
NAMED_WITHIN = 5.0
"""Seconds after an obstacle's start by which its cause must be named. Obstacles that pass sooner are not judged by their
cause."""

Causes = Mapping[str, Sequence[str]]
"""A recordings' vocabulary: a recorded cause, and those of our reasons that stand for it. Any cause also stands for itself."""


@dataclass(frozen=True)
class Moment:
    """One verdict, and what was so then."""

    t: float
    verdict: Verdict
    truth: Truth


@dataclass
class Judgement:
    """What one history says about us."""

    history: str
    moments: list[Moment]
    ready_at: float | None = None
    """Our first Ready (at zero by design, or gone, where that was asked for)."""
    proven_at: float | None = None
    late: float | None = None
    """Seconds from proven to Ready, the longest; None where it was never proven."""
    false_ready: list[Moment] = field(default_factory=list)
    contradicted: list[Moment] = field(default_factory=list)
    """Ready where the truth says that nothing serves, and the recording's own probe was answered at that time: not counted."""
    false_failed: list[Moment] = field(default_factory=list)
    wrong_cause: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    """``cause@t → reason@t`` for each obstacle."""


def read_causes(path: Path) -> Causes:
    """A table of causes in JSON. Raises ValueError naming a file that holds none."""
    try:
        return {cause: tuple(words) for cause, words in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as e:
        raise ValueError(f"{path}: no table of causes ({e!r})") from None


def assess_of(kind: str, name: str = "") -> Assess:
    """``assess`` of the runtime that made the recorded object.

    A recording names a kind of object; where it names no ``runtime``, the first that makes such objects was meant. Raises
    LookupError for a kind that no runtime makes.
    """
    found = [r for r in runtimes_of() if r.PRIMARY.kind == kind and name in ("", r.NAME)]
    if not found:
        made = ", ".join(dict.fromkeys(r.PRIMARY.kind for r in runtimes_of()))
        raise LookupError(f"no runtime {name} assesses a {kind}; known: {made}".replace("  ", " "))
    return found[0].assess


def judge(history: History, assess: Assess | None = None, times: Iterable[float] | None = None, *, causes: Causes) -> Judgement:
    """Every verdict of a history (at ``times``, default whenever something changed), compared with its truth."""
    assess = assess or assess_of(history.kind, history.runtime)
    expected = history.expected()
    moments = []
    for t, observed in history.snapshots(times if times is not None else history.times()):
        refused = history.refusal(t)
        said = _refused(refused) if refused else hear(assess, expected, observed, history.now(t))
        moments.append(Moment(t, said, history.truth_at(t)))
    found = Judgement(history.name, moments)
    _judge_ready(history, found)
    _judge_failed(history, found)
    _judge_causes(history, found, causes)
    return found


def says_reached(history: History, said: Verdict) -> bool:
    """The verdict would end a wait as a success."""
    return said.outcome(absent=not history.present) is Outcome.SUCCESS


def says_failed(history: History, said: Verdict) -> bool:
    """The verdict would end a wait without one, or calls it a failure."""
    return said.state is State.FAILED or said.outcome(absent=not history.present) in (Outcome.FAILED, Outcome.SUPERSEDED)


def _refused(message: str) -> Verdict:
    """What the apply itself would have raised: there is nothing to watch."""
    cause = cause_in("api", "", message)
    return verdict(State.FAILED, cause.reason if cause else "write_refused", "the API server refused the request", detail=message)


def _agrees(history: History, said: Verdict, truth: Truth) -> bool:
    """A success that the truth knows: Ready where proven, zero where nothing runs by design, gone where it is gone."""
    if not history.present:
        return truth.proven
    if said.state is State.SCALED_TO_ZERO:
        return truth.state == "scaled_to_zero" and truth.reached
    return truth.proven and truth.state != "scaled_to_zero"


def _answered_then(history: History, m: Moment) -> bool:
    """Truth ``failed`` means that nothing serves; a request answered meanwhile says otherwise, and no client can tell them
    apart."""
    since = max(m.truth.start + TOLERANCE, m.t - FRESH)
    return m.truth.state == "failed" and any(since <= t <= m.t for t in history.answered(name_of(history.want)))


def _around(history: History, t: float) -> list[Truth]:
    """All that was so within the tolerance of ``t``."""
    ends = [entry.start for entry in history.truth[1:]] + [float("inf")]
    return [e for e, end in zip(history.truth, ends, strict=True) if e.start <= t + TOLERANCE and end >= t - TOLERANCE]


def _judge_ready(history: History, found: Judgement) -> None:
    for m in found.moments:
        if says_reached(history, m.verdict):
            if not any(_agrees(history, m.verdict, truth) for truth in _around(history, m.t)):
                (found.contradicted if _answered_then(history, m) else found.false_ready).append(m)
            elif found.ready_at is None:
                found.ready_at = m.t
    reached = [(max(e.start, history.asked_at), end) for e, end in _spans(history) if e.reached and end > history.asked_at]
    if not reached:
        return
    found.proven_at = next((start for start, end in reached if end - start > TOLERANCE or end >= history.seconds), None)
    waits = []
    for start, end in _joined(reached):
        first = next((m.t for m in found.moments if start - TOLERANCE <= m.t <= end and says_reached(history, m.verdict)), None)
        if first is not None:
            waits.append(max(0.0, first - start))
        elif end >= history.seconds:
            waits.append(history.seconds - start)
    found.late = max(waits, default=None)


def _judge_failed(history: History, found: Judgement) -> None:
    """A Failed is false where it comes right, now or later. That somebody takes what has failed to zero mends nothing."""
    for m in found.moments:
        if not says_failed(history, m.verdict):
            continue
        reached = [(e, end) for e, end in _spans(history) if e.reached and (e.proven or m.truth.state != "failed")]
        later = any(e.start > m.t for e, _ in reached)
        now = any(e.start + TOLERANCE <= m.t <= end - TOLERANCE for e, end in reached)
        if (later or now) and m.truth.state != "superseded":
            found.false_failed.append(m)


def _judge_causes(history: History, found: Judgement, causes: Causes) -> None:
    for entry, end in _spans(history):
        obstacle = entry.state in ("degraded", "failed", "unmanaged", "superseded") or (entry.state == "deleting" and entry.cause)
        within = [m for m in found.moments if max(entry.start, history.asked_at) <= m.t < end]
        if not obstacle or not within:
            continue
        words = (*causes.get(entry.cause, ()), entry.cause)
        first = next((m for m in within if m.verdict.reason in words), None)
        label = f"{entry.cause}@{entry.start:.1f}"
        found.named.append(f"{label} → {first.verdict.reason}@{first.t:.1f}" if first else f"{label} → not named")
        # What ends an obstacle shows in events up to the tolerance before or after its recorded end.
        last = next((m for m in reversed(within) if m.t < end - TOLERANCE or end >= history.seconds), within[0])
        at_end = [last, *(m for m in found.moments if end - TOLERANCE <= m.t < end)]
        if end - max(entry.start, history.asked_at) > NAMED_WITHIN and not any(m.verdict.reason in words for m in at_end):
            found.wrong_cause.append(f"{label}: at {last.t:.1f} we said {last.verdict.reason}, expected {' or '.join(words)}")
        for m in within:
            if says_failed(history, m.verdict) and m.verdict.reason not in words and m.t - entry.start > TOLERANCE:
                found.wrong_cause.append(f"{label}: at {m.t:.1f} failed with {m.verdict.reason}, expected {' or '.join(words)}")
                break


def _spans(history: History) -> list[tuple[Truth, float]]:
    ends = [entry.start for entry in history.truth[1:]] + [max(history.seconds, history.truth[-1].start)]
    return list(zip(history.truth, ends, strict=True))


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that touch, as one."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and joined[-1][1] >= start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
