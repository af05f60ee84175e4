"""The verdict about a HuggingFace-serve Deployment."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_llmserve.readiness.fields import items, labels_of, name_of
from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.pods import pod_ended
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.runtimes.huggingface.identity import deletion, identity_verdict
from airflow_provider_llmserve.runtimes.huggingface.workload import Subject, judge, model_name_in

INSTANCE = "app.kubernetes.io/instance"


def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
    """Is what we applied in effect, and does it answer? Never Ready by the Deployment's conditions alone."""
    name = name_of(expected.manifest)
    live = observed.get("Deployment", name)
    if not expected.present:
        left = [p for p in observed.of("Pod") if not pod_ended(p) and labels_of(p).get(INSTANCE) == name]
        return deletion(expected, live, left, observed, now)
    settled = identity_verdict(expected, live, observed, now)
    if settled is not None or live is None:
        return settled or verdict(State.PROGRESSING, "not_applied", f"Deployment {name} is not visible yet")
    container = next(iter(items(expected.manifest, "spec", "template", "spec", "containers")), {})
    subject = Subject("Deployment", name, model_name_in(container, "model"), expected.applied_at)
    return judge(subject, live, observed, now)
