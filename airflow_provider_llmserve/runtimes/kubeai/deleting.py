"""The verdict on a deletion: the object and its pods, and what holds a finalizer."""

from __future__ import annotations

from airflow_provider_llmserve.readiness.fields import at, name_of, owned_by, text, uid_of
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.runtimes.kubeai import blocked
from airflow_provider_llmserve.runtimes.kubeai.view import View, evidence

CACHE_FINALIZER = "kubeai.org/cache-eviction"


def assess_absence(view: View) -> Verdict:
    """Gone only when neither the Model nor a pod it controlled is left: then the GPUs are free."""
    model = view.model
    if model is not None and view.expected.uid and uid_of(model) != view.expected.uid:
        model = None  # a newer Model of that name is not ours to wait for
    if model is not None:
        finalizers = at(model, "metadata", "finalizers")
        held = [str(f) for f in finalizers] if isinstance(finalizers, list) else []
        if held:
            return _held(view, held)
        return verdict(State.DELETING, "deleting", f"Model {view.name} is still there")
    pods = [p for p in view.pods if not view.expected.uid or owned_by(p, view.expected.uid)]
    if pods:
        return verdict(
            State.DELETING,
            "deleting",
            f"the Model is gone, {len(pods)} of its pods are still ending",
            evidence=[evidence(p, "metadata.name", name_of(p)) for p in pods],
        )
    if not {"Model", "Pod"} <= view.observed.kinds:
        return verdict(State.DELETING, "deleting", "it was not looked at yet")
    return verdict(State.GONE, "gone", f"Model {view.name} and its pods are gone")


def _held(view: View, finalizers: list[str]) -> Verdict:
    detail = ""
    if CACHE_FINALIZER in finalizers:
        detail = _why_eviction_hangs(view)
    return verdict(
        State.DELETING,
        "finalizer_stuck" if detail else "deleting",
        f"Model {view.name} waits for finalizer {', '.join(finalizers)}",
        detail=detail,
        evidence=[evidence(view.model, "metadata.finalizers", ", ".join(finalizers))],
    )


def _why_eviction_hangs(view: View) -> str:
    """In words why nobody will remove the cache finalizer, empty where it may still go by itself."""
    cache = text(view.spec, "cacheProfile")
    if not cache:
        return "The Model's cacheProfile was removed earlier, and KubeAI evicts a cache only where there is one: nobody will remove it."
    if view.config is not None and cache not in view.config.cache_profiles:
        return f"KubeAI's configuration does not know cache profile {cache} any more, and fails before it comes to the finalizer."
    trouble = blocked.job_trouble(view, f"evict-cache-{view.name}")
    if trouble is not None:
        return f"The Job evict-cache-{view.name} does not finish: {trouble.summary}"
    claim = view.observed.get("PersistentVolumeClaim", f"shared-model-cache-{cache}")
    if claim is not None and text(claim, "status", "phase") != "Bound":
        return f"The cache's volume claim {name_of(claim)} is not bound, so the Job that empties it cannot run."
    return ""
