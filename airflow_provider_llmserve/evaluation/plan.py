"""What an evaluation is asked to do, checked as a whole before the first request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.evaluation import classes
from airflow_provider_llmserve.evaluation.dataset import Row, cap
from airflow_provider_llmserve.evaluation.gates import Gate, parse_gates
from airflow_provider_llmserve.evaluation.metrics import METRICS
from airflow_provider_llmserve.oip.wire import TASKS

_COMPARED = {"dataset", "asking", "n", "errors", "metrics"}


def _usual_metrics(endpoint: Endpoint) -> tuple[str, ...]:
    return ("accuracy", "macro_f1") if endpoint.task in classes.CLASSIFICATION_TASKS else ("exact_match",)


class EvaluationPlan(BaseModel):
    """An evaluation: of what, on what, how to ask, and what to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    endpoint: Endpoint
    dataset: str
    """URL of a JSON lines file, as Airflow's ObjectStoragePath takes it."""
    adapter: str | None = None
    """Which adapter to ask, by its name or its stem; None asks the base."""
    metrics: tuple[str, ...]
    gates: tuple[Gate, ...] = ()
    baseline: dict[str, Any] | None = None
    """Another evaluation's summary, for gates with ``min_gain``."""
    max_error_rate: float = Field(0.01, ge=0, le=1)
    """The largest share of samples that may stay without an answer."""
    results: str | None = None
    """Where the per-sample results go; None: beside the data set."""
    columns: dict[str, str] = {}
    """Our column names to the data set's own."""
    api: Literal["chat", "completion"] = "chat"
    """``chat`` wraps a prompt as a user's message; ``completion`` sends it as it is, for a base model without a chat template."""
    labels: tuple[str, ...] | None = None
    """Names of a classifier's classes, in the order of their numbers; None: the data set expects numbers."""
    system_prompt: str | None = None
    """Put before every row's messages (chat only)."""
    max_tokens: int = Field(64, ge=1)
    """The longest answer, in tokens."""
    concurrency: int = Field(8, ge=1, le=1024)
    """Requests in flight at once."""
    request_timeout: float = Field(30.0, gt=0)
    """Seconds for one request; one that takes longer is asked anew."""
    request_retries: int = Field(5, ge=0)
    """How often a request is asked anew after a time-out, a lost connection, a 429 or a 5xx."""

    @classmethod
    def parse(cls, **values: Any) -> EvaluationPlan:
        """Check everything that needs no data set. Raises :class:`BadInput` with every finding at once."""
        endpoint = Endpoint.of(values.pop("endpoint"))
        gates: Sequence[Gate | Mapping[str, Any]] = values.pop("gates", ())
        values["metrics"] = values.get("metrics") or _usual_metrics(endpoint)
        try:
            plan = cls.model_validate({"endpoint": endpoint, **values})
        except ValidationError as e:
            raise BadInput("evaluation", [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in e.errors()]) from None
        missing = sorted(_COMPARED - set(plan.baseline)) if plan.baseline is not None else []
        if missing:
            raise BadInput("baseline (pass another evaluation's output)", f"has no {', '.join(missing)}")
        unknown = [name for name in plan.metrics if name not in METRICS]
        if unknown or not plan.metrics:
            known = ", ".join(METRICS)
            raise BadInput(
                "metrics", [f"unknown metric {name!r}; there are {known}" for name in unknown] or f"name one of {known}"
            )
        if plan.api == "completion" and plan.system_prompt is not None:
            raise BadInput("system_prompt", "a completion has no system message; leave it out or use api='chat'")
        plan.request_name  # noqa: B018  an adapter that is not served is refused here
        if plan.predicts:
            plan._check_predictions()
        return plan.model_copy(update={"gates": tuple(parse_gates(gates, plan.metrics, plan.baseline))})

    @property
    def predicts(self) -> bool:
        """Whether the endpoint is asked for predictions (the Open Inference Protocol) rather than for text."""
        return self.endpoint.oip_url is not None and self.endpoint.task in TASKS

    @property
    def request_name(self) -> str:
        """The model's name in the requests."""
        if self.predicts:
            if self.adapter is not None:
                raise BadInput(f"adapter {self.adapter!r}", "a predicting model has no adapters; KubeAI-text serves them")
            return self.endpoint.oip_name
        return self.endpoint.request_name(self.adapter)

    @property
    def asking(self) -> dict[str, Any]:
        """How the model is asked: two evaluations are comparable only where this is equal."""
        if self.predicts:
            return {"task": self.endpoint.task, "labels": None if self.labels is None else list(self.labels)}
        system = None if self.system_prompt is None else hashlib.sha256(self.system_prompt.encode()).hexdigest()
        return {"api": self.api, "temperature": 0, "max_tokens": self.max_tokens, "system_prompt_sha256": system}

    def check_rows(self, rows: Sequence[Row]) -> None:
        """Raises :class:`BadInput` with every row that a metric cannot score or the model cannot be asked."""
        findings = []
        for row in rows:
            found = [finding for name in self.metrics if (finding := METRICS[name].finding(row)) is not None]
            found += self._unaskable(row)
            findings += [f"line {row.line}: {finding}" for finding in found]
        if findings:
            raise BadInput(self.dataset, cap(findings))

    def _unaskable(self, row: Row) -> list[str]:
        if row.prompt is None and (self.predicts or self.api == "completion"):
            return ["a prompt is wanted: messages are for api='chat' of a model that generates"]
        return classes.findings(row, self.endpoint.task, self.labels) if self.predicts else []

    def _check_predictions(self) -> None:
        if self.endpoint.task not in classes.SCORED_TASKS:
            raise BadInput(self.endpoint.identity.name, f"no metric fits the task {self.endpoint.task}")
        if self.labels is not None and self.endpoint.task == "fill_mask":
            raise BadInput("labels", "a filled mask is text and has no classes")

    def check_baseline(self, dataset_sha256: str) -> None:
        """Raises :class:`BadInput` where a gate compares with a baseline that was asked something else."""
        if self.baseline is None or not any(gate.min_gain is not None for gate in self.gates):
            return
        findings = []
        if self.baseline["dataset"]["sha256"] != dataset_sha256:
            findings.append(f"was measured on another data set ({self.baseline['dataset']['url']})")
        if self.baseline["asking"] != self.asking:
            findings.append(f"was asked otherwise: {self.baseline['asking']}, this evaluation {self.asking}")
        if findings:
            raise BadInput("baseline", findings)
