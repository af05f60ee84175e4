"""Thresholds an evaluation must pass.

A gate is ``{"metric": "exact_match", "min": 0.8}``, with ``max`` for a metric that must stay low, and ``min_gain`` for how much
the mean must exceed a baseline's (negative: how much it may fall short). **Missing data never passes**: an answer that never came
counts against every gate, whichever side the gate is on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from airflow_provider_llmserve.errors import BadInput


class Gate(BaseModel):
    """Thresholds for one metric: at least one of ``min``, ``max`` and ``min_gain``, all of which must hold.
    Bounds are inclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    metric: str
    """A metric of this evaluation."""
    min: float | None = Field(None, ge=0, le=1)
    """The mean must reach this."""
    max: float | None = Field(None, ge=0, le=1)
    """The mean must not exceed this."""
    min_gain: float | None = Field(None, ge=-1, le=1)
    """The mean less the baseline's must reach this."""
    kind: Literal["required", "advisory"] = "required"
    """An advisory gate is reported and fails nothing."""

    @model_validator(mode="after")
    def _some_bound(self) -> Gate:
        if self.min is None and self.max is None and self.min_gain is None:
            raise ValueError("needs min, max or min_gain")
        return self

    def judge(self, summary: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """One verdict a bound.

        ``summary`` and ``baseline`` hold ``metrics``, ``n`` and ``errors`` as an evaluation returns them.
        """
        mean = float(summary["metrics"][self.metric]["mean"])
        verdicts = []
        if self.min is not None:
            value = _clean(mean)
            verdicts.append(_verdict(self.metric, "min", self.min, value, value >= self.min, self.kind))
        if self.max is not None:
            value = _clean(min(1.0, mean + _unanswered(summary)))
            verdicts.append(_verdict(self.metric, "max", self.max, value, value <= self.max, self.kind))
        if self.min_gain is not None:
            assert baseline is not None
            value = _clean(mean - min(1.0, float(baseline["metrics"][self.metric]["mean"]) + _unanswered(baseline)))
            verdicts.append(_verdict(self.metric, "min_gain", self.min_gain, value, value >= self.min_gain, self.kind))
        return verdicts


def parse_gates(
    value: Sequence[Gate | Mapping[str, Any]], metrics: Sequence[str], baseline: Mapping[str, Any] | None
) -> list[Gate]:
    """Read gates. Raises :class:`BadInput` with every finding: a bad gate, a metric that is not measured, no baseline."""
    gates: list[Gate] = []
    findings: list[str] = []
    for i, one in enumerate(value):
        try:
            gate = Gate.model_validate(one)
        except ValidationError as e:
            findings += [f"[{i}] {'.'.join(map(str, x['loc']))}{': ' if x['loc'] else ''}{x['msg']}" for x in e.errors()]
            continue
        gates.append(gate)
        if gate.metric not in metrics:
            findings.append(f"[{i}] metric {gate.metric!r} is not measured; metrics are {', '.join(metrics)}")
        elif gate.min_gain is not None:
            if baseline is None:
                findings.append(f"[{i}] min_gain needs baseline=, another evaluation's output")
            elif gate.metric not in baseline.get("metrics", {}):
                findings.append(f"[{i}] the baseline has no figure for {gate.metric!r}")
    if findings:
        raise BadInput("gates", findings)
    return gates


def error_gate(summary: Mapping[str, Any], max_error_rate: float) -> dict[str, Any]:
    """The gate that every evaluation has: not too many samples without an answer."""
    rate = _unanswered(summary)
    return _verdict("error_rate", "max", max_error_rate, rate, rate <= max_error_rate, "required")


def passed(verdicts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no required gate was missed."""
    return all(one["passed"] or one["kind"] == "advisory" for one in verdicts)


def _verdict(metric: str, bound: str, limit: float, value: float, passed: bool, kind: str) -> dict[str, Any]:
    """A gate as it stands in the summary: its bound, what was measured, and a sentence."""
    what = f"gain in {metric}" if bound == "min_gain" else metric
    sign = "<=" if bound == "max" else ">="
    text = f"{what} {value:.4g} ({'passed' if passed else 'missed'}: {sign} {limit:g})"
    return {"metric": metric, bound: limit, "kind": kind, "value": value, "passed": passed, "text": text}


def _clean(value: float) -> float:
    """Without the last bits: 0.6 - 0.5 reaches a ``min_gain`` of 0.1."""
    return round(value, 9)


def _unanswered(summary: Mapping[str, Any]) -> float:
    return float(summary["errors"]["total"]) / float(summary["n"])
