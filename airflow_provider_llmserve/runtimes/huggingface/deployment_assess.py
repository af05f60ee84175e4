"""The verdict about a HuggingFace-serve Deployment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, labels_of
from airflow_provider_llmserve.readiness.observed import Expected, Object, Observed
from airflow_provider_llmserve.readiness.pods import pod_ended
from airflow_provider_llmserve.readiness.state import Verdict
from airflow_provider_llmserve.runtimes.huggingface.identity import spec_drift
from airflow_provider_llmserve.runtimes.huggingface.workload import Subject, judge, model_name_in
from airflow_provider_llmserve.runtimes.managers import additions
from airflow_provider_llmserve.runtimes.rules import Look, absence, first, identity

INSTANCE = "app.kubernetes.io/instance"


def _drift(asked: Object, live: Object) -> list[tuple[str, Any]]:
    return [*spec_drift(asked, live), *additions(live, "spec", "template")]


RULES = identity(_drift)
"""Before those of any workload (``workload.RULES``)."""


@dataclass(frozen=True)
class _View(Look):
    @property
    def pods(self) -> list[Object]:
        """Pods whose containers may still run."""
        return [p for p in self.observed.of("Pod") if not pod_ended(p) and labels_of(p).get(INSTANCE) == self.name]


def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
    """Is what we applied in effect, and does it answer? Never Ready by the Deployment's conditions alone."""
    view = _View(expected, observed, now)
    if not expected.present:
        return absence(view, view.pods)
    container = next(iter(items(expected.manifest, "spec", "template", "spec", "containers")), {})
    subject = Subject(model_name_in(container, "model"), expected.applied_at)
    return first(RULES, view) or judge(subject, view.live or {}, observed, now)
