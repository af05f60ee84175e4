"""The verdict about a HuggingFace-serve Deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_llmserve.readiness.fields import items, labels_of, mapping, name_of, terminating
from airflow_provider_llmserve.readiness.observed import Expected, Object, Observed
from airflow_provider_llmserve.readiness.pods import pod_ready, pod_stands
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.rollout import wanted_replicas
from airflow_provider_llmserve.readiness.state import Evidence, State, Verdict
from airflow_provider_llmserve.runtimes import managers
from airflow_provider_llmserve.runtimes.huggingface.workload import Subject, judge, live_pods, model_name_in
from airflow_provider_llmserve.runtimes.mark import annotated
from airflow_provider_llmserve.runtimes.rules import Look, absence, first, identity

INSTANCE = "app.kubernetes.io/instance"
PARTS = (
    ("spec", "template"),
    ("spec", "selector"),
    ("spec", "strategy"),
    ("spec", "progressDeadlineSeconds"),
    ("spec", "revisionHistoryLimit"),
)
"""What makes a pod, and what else we apply, but for the number of replicas."""


def mark_in(primary: Object) -> str:
    """The mark of its pod template."""
    return annotated(primary, "spec", "template", "metadata")


@dataclass(frozen=True)
class _View(Look):
    @property
    def pods(self) -> list[Object]:
        """Pods that stand in the way of its being gone."""
        return [p for p in self.observed.of("Pod") if pod_stands(p) and labels_of(p).get(INSTANCE) == self.name]

    @property
    def selector(self) -> Object:
        """What its Service must select: the labels of its own pods."""
        return mapping(self.live, "spec", "selector", "matchLabels")


RULES = identity(PARTS, mark_in)
"""Before those of any workload (``workload.RULES``)."""


def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
    """Is what we applied in effect, and does it answer? Never Ready by the Deployment's conditions alone."""
    view = _View(expected, observed, now)
    if not expected.present:
        return absence(view, view.pods)
    container = next(iter(items(view.live or expected.manifest, "spec", "template", "spec", "containers")), {})
    subject = Subject(model_name_in(container, "model"), expected.applied_at, expected.mark, enough=_enough(view))
    found = first(RULES, view) or judge(subject, view.live or {}, observed, now)
    if found.state is not State.READY and not found.ask:
        return found
    return next(_elsewhere(view), found)


def _enough(view: _View) -> int | None:
    """Where another sets the number, how many ready pods are enough while it adds more: as many as we asked for, or one."""
    if managers.number_is_ours(view.live or {}):
        return None
    return wanted_replicas(view.manifest) if managers.number_is_ours(view.manifest) else 1


def _elsewhere(view: _View) -> Iterator[Verdict]:
    """Why an answer through the Service may be of no pod of ours."""
    service = view.observed.get("Service", view.name)
    selects = mapping(service, "spec", "selector")
    if service is not None and selects != view.selector:
        proof = Evidence(f"Service {view.name}", "spec.selector", str(dict(selects)))
        said = f"Service {view.name} selects other pods than those of Deployment {view.name}"
        yield verdict(State.DEGRADED, "foreign_backend", said, evidence=[proof])
    ours = {name_of(p) for p in live_pods(view.live or {}, view.observed)}
    for pod in view.observed.of("Pod"):
        selected = view.selector.items() <= labels_of(pod).items()
        if selected and name_of(pod) not in ours and pod_ready(pod) and not terminating(pod):
            proof = Evidence(f"Pod {name_of(pod)}", "metadata.labels", str(dict(view.selector)))
            said = f"pod {name_of(pod)} is none of ours, and Service {view.name} sends it requests: it carries the labels of our pods"
            yield verdict(State.DEGRADED, "foreign_backend", said, evidence=[proof])
