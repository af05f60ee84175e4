"""The verdict on a deletion: the object and its pods, and what holds a finalizer."""

from __future__ import annotations

from airflow_provider_llmserve.readiness.fields import name_of, text
from airflow_provider_llmserve.readiness.state import Verdict
from airflow_provider_llmserve.runtimes.kubeai import blocked
from airflow_provider_llmserve.runtimes.kubeai.view import View, descends
from airflow_provider_llmserve.runtimes.rules import absence

CACHE_FINALIZER = "kubeai.org/cache-eviction"


def assess_absence(view: View) -> Verdict:
    """Gone only when neither the Model nor a pod it controlled is left: then the GPUs are free."""
    pods = [p for p in view.observed.of("Pod") if descends(p, name=view.name, uid=view.expected.uid)]

    def stuck(finalizers: list[str]) -> str:
        return _why_eviction_hangs(view) if CACHE_FINALIZER in finalizers else ""

    return absence(view, pods, stuck=stuck)


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
