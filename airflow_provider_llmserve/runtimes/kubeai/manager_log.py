"""Why an adapter does not load, or no pod appears: KubeAI says so in its manager's log alone.

Form of the lines (manager v0.22.1, ``internal/manager/run.go``, controller-runtime's zap logger, console or JSON): one object of
JSON a line, with ``namespace`` and ``name`` of the Model and ``error``; between them, raw, what the loader of that very try wrote
to its output.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_llmserve.readiness.causes import Cause, cause_in, cause_in_log
from airflow_provider_llmserve.readiness.fields import moment, text
from airflow_provider_llmserve.readiness.pods import QUOTED
from airflow_provider_llmserve.readiness.reasons import REASONS, trouble_state, verdict
from airflow_provider_llmserve.readiness.state import Evidence, Verdict
from airflow_provider_llmserve.runtimes.kubeai import adapters
from airflow_provider_llmserve.runtimes.kubeai.view import View
from airflow_provider_llmserve.runtimes.parts import LogTail

CONTAINER = "kubeai"
"""Of the manager's pod (``charts/kubeai/templates/deployment.yaml``: the chart's name)."""
LINES = 1000
"""Of the log's tail: one failed try writes about ten lines, and other Models' tries stand between."""
TRIES = 2
"""A server that refuses an adapter once may be busy with it; the second refusal is an answer. The API server's of a pod too."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:?\d\d)")
_REJECTED = re.compile(
    r'load vllm adapter "(?P<adapter>[^"]*)": unexpected status code: (?P<status>\d+): ?(?P<said>.*)', re.DOTALL
)
_CONFLICT = "the object has been modified"
"""The manager read the Model or a pod before somebody else's write; it tries again at once."""
_NOT_FETCHED = re.compile(r'exec adapter load for pod "(?:[^"/]*/)?(?P<pod>[^"]*)"')


@dataclass(frozen=True)
class _Failure:
    """One failed look of the manager's at our Model: when, its error, and what was printed since its line before."""

    at: datetime
    error: str
    printed: str


def wanted(view: View) -> tuple[LogTail, ...]:
    """The log of the manager that leads: the holder of its lease is ``<pod>_<uuid>`` (client-go, ``tools/leaderelection``)."""
    pod, _, identity = text(view.lease, "spec", "holderIdentity").rpartition("_")
    return (LogTail(pod, CONTAINER, LINES),) if pod and identity else ()


def explain(view: View, missing: Mapping[str, list[str]]) -> Verdict | None:
    """What the manager said since we asked about adapters (name to pods) that are not loaded; None where it said nothing.

    An adapter that the server refused comes first: it stays refused.
    A download may still succeed, when somebody uploads the adapter.
    """
    failures = list(_failures(view))
    for adapter in missing:
        refusals = [(f, m) for f in failures if (m := _REJECTED.search(f.error)) and m["adapter"] == adapter]
        refusals = [(f, m) for f, m in refusals if _word(f) == "adapter_rejected" or _final(m)]
        if len(refusals) >= TRIES:
            failure, m = refusals[-1]
            cause = cause_in("http", m["status"], m["said"], "vllm")
            summary = f"the server refuses adapter {adapter}"
            return _told(view, "adapter_rejected", summary, failure, cause, m["said"] or failure.error)
    for failure in reversed(failures):
        found = _NOT_FETCHED.search(failure.error) if _word(failure) == "adapter_download_failed" else None
        # The manager takes a pod's adapters in their order and stops at the first that fails.
        adapter = next((a for a, pods in missing.items() if found and found["pod"] in pods), "")
        if adapter:
            cause = cause_in_log(failure.printed, "kubeai-loader")
            summary = f"adapter {adapter} is not fetched from {adapters.wanted(view.asked).get(adapter)}"
            return _told(view, "adapter_download_failed", summary, failure, cause, cause.line if cause else failure.error)
    return None


def refusal(view: View, tries: int = 1) -> Verdict | None:
    """Why the manager cannot make a pod, where it failed ``tries`` times and its newest error is in words that are known.

    One line may still be about the spec before ours: it tells the second, by another clock than ours.
    """
    failures = _no_pod(view)
    if len(failures) < tries:
        return None
    failure = failures[-1]
    cause = cause_in("api", "", failure.error) or cause_in_log(failure.error, "kubeai-manager")
    if cause is None:
        return None
    fatal = REASONS[cause.reason].impossible and not view.minimum_serves
    return verdict(
        trouble_state(fatal=fatal, serving=view.serving),
        cause.reason,
        "KubeAI's manager cannot make a pod",
        detail=failure.error[:QUOTED],
        advice=cause.advice,
        evidence=[_cited(failure)],
        fatal=fatal,
    )


def newest_error(view: View) -> str:
    """The manager's newest error about our Model since we asked and since it made its newest pod; empty where there is none."""
    return next((f.error[:QUOTED] for f in reversed(_no_pod(view))), "")


def _no_pod(view: View) -> list[_Failure]:
    made = max(filter(None, (moment(p, "metadata", "creationTimestamp") for p in view.current)), default=view.written)
    return [f for f in _failures(view) if f.at >= made and _CONFLICT not in f.error]


def _final(refused: re.Match[str]) -> bool:
    """vLLM says 500 to some adapters that it will never take (0.32: a rank above its limit); to most it is a busy server's."""
    cause = cause_in("http", refused["status"], refused["said"], "vllm")
    return cause is not None and REASONS[cause.reason].impossible


def _word(failure: _Failure) -> str:
    cause = cause_in_log(failure.error, "kubeai-manager")
    return cause.reason if cause is not None else ""


def _told(view: View, word: str, summary: str, failure: _Failure, cause: Cause | None, detail: str) -> Verdict:
    row = REASONS[word]
    inner = cause if cause is not None and cause.reason != word else None
    return verdict(
        trouble_state(fatal=row.impossible, serving=view.serving),
        word,
        summary + (f" ({inner.reason})" if inner else ""),
        detail=detail,
        advice=inner.advice if inner else None,
        evidence=[_cited(failure)],
    )


def _cited(failure: _Failure) -> Evidence:
    return Evidence("KubeAI's manager", "log", failure.error[:500], failure.at.isoformat())


def _failures(view: View) -> Iterator[_Failure]:
    """Oldest first. Total: what is no line of the manager's is taken for the loader's."""
    leaders = {(tail.pod, tail.container) for tail in wanted(view)}
    for log in view.observed.logs:
        if (log.pod, log.container) not in leaders or log.previous:
            continue
        printed: list[str] = []
        for line in log.text.splitlines():
            entry = _entry(line)
            if entry is None:
                printed.append(line)
                continue
            at, error = _time(line, entry), text(entry, "error")
            ours = entry.get("name") == view.name and entry.get("namespace") in (view.namespace, None)
            if error and ours and at is not None and at >= view.written:
                yield _Failure(at, error, "\n".join(printed))
            printed = []


def _entry(line: str) -> Mapping[str, Any] | None:
    """The JSON object that ends the line, if it is one of controller-runtime's."""
    start = line.find("{")
    if start < 0 or not line.endswith("}"):
        return None
    try:
        value = json.loads(line[start:])
    except ValueError:
        return None
    return value if isinstance(value, dict) and "controller" in value else None


def _time(line: str, entry: Mapping[str, Any]) -> datetime | None:
    found = _STAMP.search(line[: line.find("{")]) or _STAMP.search(text(entry, "ts"))
    return moment({"at": found.group()}, "at") if found else None
