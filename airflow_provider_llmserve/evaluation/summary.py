"""From answers to an evaluation's summary, its per-sample results and its verdict."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from airflow_provider_llmserve.evaluation import gates
from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.evaluation.metrics import METRICS, Output
from airflow_provider_llmserve.evaluation.plan import EvaluationPlan

MIN_SAMPLES_P95 = 20


@dataclass(frozen=True)
class Answer:
    """What came back for one row: an output, or an error by its class."""

    output: Output | None = None
    error: str | None = None
    """``timeout``, ``connection``, ``http_<status>`` or ``invalid_answer``."""
    detail: str | None = None
    """The error in the server's own words."""
    latency: float | None = None
    """Seconds of the request that was answered, earlier tries not counted."""
    tries: int = 1
    finish_reason: str | None = None


def summarise(
    plan: EvaluationPlan, rows: Sequence[Row], answers: Sequence[Answer], *, dataset_sha256: str, results: str
) -> dict[str, Any]:
    """The evaluation as it goes to XCom: JSON, a few hundred bytes whatever the data set's size.

    ``verdict`` is ``passed``, ``failed``, or ``ungated`` where nobody set a gate and errors were few enough.
    """
    samples = [(row, answer.output) for row, answer in zip(rows, answers, strict=True)]
    errors = Counter(answer.error for answer in answers if answer.error is not None)
    summary: dict[str, Any] = {
        "endpoint": plan.endpoint.identity.name,
        "uid": plan.endpoint.identity.uid,
        "model": plan.request_name,
        "dataset": {"url": plan.dataset, "sha256": dataset_sha256},
        "asking": plan.asking,
        "n": len(rows),
        "errors": {"total": sum(errors.values()), "by_class": dict(sorted(errors.items()))},
        "metrics": {name: METRICS[name].figure(samples).as_dict() for name in plan.metrics},
        "latency_s": latency([answer.latency for answer in answers if answer.latency is not None]),
        "results": results,
    }
    judged = [one for gate in plan.gates for one in gate.judge(summary, plan.baseline)]
    judged.append(gates.error_gate(summary, plan.max_error_rate))
    summary["gates"] = judged
    summary["verdict"] = "failed" if not gates.passed(judged) else "passed" if plan.gates else "ungated"
    return summary


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile in seconds, the latter from twenty samples on;
    below that it would be the maximum by another name."""
    if not seconds:
        return {}
    if len(seconds) == 1:
        return {"p50": seconds[0]}
    cuts = quantiles(seconds, n=20, method="inclusive")
    return {"p50": cuts[9], **({"p95": cuts[18]} if len(seconds) >= MIN_SAMPLES_P95 else {})}


def result_lines(plan: EvaluationPlan, rows: Sequence[Row], answers: Sequence[Answer]) -> str:
    """Per-sample results as JSON lines, in the data set's order."""
    return "".join(json.dumps(_result(plan, row, answer)) + "\n" for row, answer in zip(rows, answers, strict=True))


def _result(plan: EvaluationPlan, row: Row, answer: Answer) -> dict[str, Any]:
    output = answer.output
    scores = {} if output is None else {name: METRICS[name].score(row, output) for name in plan.metrics}
    return {
        "id": row.id,
        "expected": row.expected,
        "output": output,
        "scores": {name: score for name, score in scores.items() if score is not None},
        "latency_s": answer.latency,
        "tries": answer.tries,
        "finish_reason": answer.finish_reason,
        "error": None if answer.error is None else {"class": answer.error, "detail": answer.detail},
    }


def account(summary: dict[str, Any]) -> str:
    """The summary as a person reads it in a task's log."""
    lines = [f"{summary['model']} on {summary['dataset']['url']}: {summary['verdict']}, {summary['n']} samples"]
    if summary["errors"]["total"]:
        classes = ", ".join(f"{count} {name}" for name, count in summary["errors"]["by_class"].items())
        lines.append(f"  {summary['errors']['total']} without an answer: {classes}")
    for name, figure in summary["metrics"].items():
        interval = f" (95 %: {figure['low']:.3f} to {figure['high']:.3f})" if "low" in figure else ""
        lines.append(f"  {name}: {figure['mean']:.3f}{interval}")
    lines += [f"  gate {one['text']}{', advisory' if one['kind'] == 'advisory' else ''}" for one in summary["gates"]]
    if summary["latency_s"]:
        lines.append("  latency: " + ", ".join(f"{name} {value:.3f} s" for name, value in summary["latency_s"].items()))
    return "\n".join([*lines, f"  results: {summary['results']}"])
