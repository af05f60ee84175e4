"""What stands in a Model's way, each as a question to one look: names, profiles, the manager, the cache, pods, quota, files."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

from airflow_provider_llmserve.readiness.events import event_text, event_time, events_about
from airflow_provider_llmserve.readiness.fields import items, labels_of, mapping, moment, name_of, text
from airflow_provider_llmserve.readiness.pods import PodTrouble, diagnose_pod, trouble_verdict, worst
from airflow_provider_llmserve.readiness.reasons import trouble_state, verdict
from airflow_provider_llmserve.readiness.state import Evidence, State, Verdict
from airflow_provider_llmserve.runtimes.kubeai import adapters
from airflow_provider_llmserve.runtimes.kubeai.config import split_profile
from airflow_provider_llmserve.runtimes.kubeai.view import View, evidence
from airflow_provider_llmserve.specs.quantity import quantity

_GOES_WITH_ITS_NODE = dict.fromkeys(
    ("node_shutdown", "node_lost"), "Wait, or delete the pod: it goes when its node's object does, and then KubeAI makes another."
)
"""Dead pods that somebody else removes (PodGC, with the Node), as on spot nodes; and what to do."""
_SYSTEMS = {"VLLM": "vllm", "OLlama": "ollama", "Infinity": "infinity"}


def bad_adapter_names(view: View) -> tuple[str, str] | None:
    """Names that the CRD accepts and KubeAI never gets to work: duplicates, and those that make no label key."""
    names = [text(a, "name") for a in items(view.asked, "adapters")]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        return "duplicate_adapter_names", f"two adapters are named {twice[0]}; KubeAI loads them in turn, for ever"
    dashed = [name for name in names if name.startswith("-") or name.endswith("-")]
    if dashed:
        return (
            "adapter_name_invalid",
            f"adapter {dashed[0]} begins or ends with a dash: {adapters.LABEL_PREFIX}{dashed[0]} is no label",
        )
    return None


def unknown_profile(view: View) -> tuple[str, str] | None:
    """A profile that the manager's configuration lacks. It says so in its log alone."""
    if view.config is None:
        return None
    name, _ = split_profile(text(view.asked, "resourceProfile"))
    if name not in view.config.resource_profiles:
        known = ", ".join(sorted(view.config.resource_profiles))
        return "unknown_resource_profile", f"KubeAI knows no resource profile {name!r}; it has {known}"
    cache = text(view.asked, "cacheProfile")
    if cache and cache not in view.config.cache_profiles:
        known = ", ".join(sorted(view.config.cache_profiles)) or "none"
        return "unknown_cache_profile", f"KubeAI knows no cache profile {cache!r}; it has {known}"
    return None


def manager_down(view: View) -> Verdict | None:
    """The manager's lease ran out, so nothing acts on the Model. A restarted manager first waits for the old lease to run out."""
    silent = view.manager_silent_for
    if silent is None:
        return None
    return verdict(
        State.UNMANAGED,
        "manager_not_running",
        f"KubeAI's manager does not act: its lease ran out {silent.total_seconds():.0f} s ago",
        detail="The version before ours serves." if view.stale and view.serving else "",
        evidence=[evidence(view.lease, "spec.renewTime", text(view.lease, "spec", "renewTime"))],
    )


def cache_trouble(view: View) -> Verdict | None:
    """Why the model does not get into its cache: the volume claim, or the Job that downloads it."""
    claim = view.observed.get("PersistentVolumeClaim", f"shared-model-cache-{text(view.spec, 'cacheProfile')}")
    if claim is not None and text(claim, "status", "phase") == "Pending":
        failures = events_about(view.observed, claim, "ProvisioningFailed", "FailedBinding")
        if failures:
            return verdict(
                trouble_state(fatal=False, serving=view.serving),
                "cache_volume_pending",
                f"the cache's volume claim {name_of(claim)} is not bound",
                detail=event_text(failures[0]),
                evidence=[evidence(claim, "status.phase", "Pending")],
            )
    trouble = job_trouble(view, f"load-cache-{view.name}")
    if trouble is None:
        return None
    cause = trouble.reason if trouble.reason != "cache_load_failed" else ""
    return trouble_verdict(replace(trouble, reason="cache_load_failed"), serving=view.serving, note=cause)


def job_trouble(view: View, job_name: str) -> PodTrouble | None:
    """Why a Job of KubeAI's does not finish: its pods' trouble, or its back-off limit (then its pods are gone)."""
    pods = [p for p in view.observed.of("Pod") if labels_of(p).get("job-name") == job_name]
    found = (diagnose_pod(p, view.observed, view.now, system="kubeai-loader") for p in pods)
    trouble = worst(t for t in found if t is not None and t.reason != "container_restarting")  # a loader that ended well
    if trouble is not None:
        return trouble
    job = view.observed.get("Job", job_name)
    for condition in items(job, "status", "conditions"):
        if condition.get("type") in ("Failed", "FailureTarget") and condition.get("status") == "True":
            words = text(condition, "message")
            since = moment(condition, "lastTransitionTime")
            if since is not None and since < view.written:
                continue  # of an earlier try: KubeAI removes it after 60 s and makes it anew
            seen = (Evidence(f"Job {job_name}", f"conditions[{condition.get('type')}]", text(condition, "reason")),)
            return PodTrouble(
                job_name, "cache_load_failed", f"Job {job_name} failed", words, evidence=seen, since=since, fatal=True
            )
    # A failed Job is removed after 60 s and made anew, endlessly; the events of its predecessors stay for an hour.
    by_name = {"kind": "Job", "metadata": {"name": job_name}}
    for event in events_about(view.observed, by_name, "BackoffLimitExceeded"):
        if (event_time(event) or view.written) > view.written:
            said = event_text(event)
            return PodTrouble(job_name, "cache_load_failed", f"Job {job_name} failed before, and was made anew", said, fatal=True)
    return None


def pod_trouble(view: View) -> Verdict | None:
    """The worst of what stands in the way of pods of our version, of dead ones, and of those whose node was lost.

    KubeAI counts a dead pod as a replica and makes no other, so a dead pod of our version stays until somebody deletes it.
    """
    system = _SYSTEMS.get(text(view.spec, "engine"), "")
    troubles = [diagnose_pod(p, view.observed, view.now, system=system) for p in (*view.current, *view.ending)]
    for pod in view.dead:
        found = diagnose_pod(pod, view.observed, view.now, system=system)
        if found is not None and found.reason in _GOES_WITH_ITS_NODE:
            troubles.append(replace(found, fatal=False, advice=_GOES_WITH_ITS_NODE[found.reason]))
        elif found is not None:
            remedy = f"KubeAI makes no other pod in its place: kubectl delete pod {name_of(pod)}. {found.advice or ''}".strip()
            troubles.append(replace(found, fatal=not view.outdated(pod), advice=remedy))
    if view.minimum_serves:
        troubles = [t and replace(t, fatal=t.fatal and not t.reason.startswith("unschedulable")) for t in troubles]
    found = worst(troubles, pods=max(view.replicas, 1))
    return None if found is None else trouble_verdict(_advised(view, found), serving=view.serving)


def no_room(view: View) -> Verdict | None:
    """The namespace's quota leaves no room for one more pod: the API server refuses it, and only the manager's log says so."""
    if view.config is None or len(view.current) >= view.replicas:
        return None
    wants = {
        f"requests.{key}": amount for key, amount in view.config.amounts(text(view.asked, "resourceProfile"), "requests").items()
    }
    wants |= {"pods": Decimal(1)}
    wants |= {key: wants[f"requests.{key}"] for key in ("cpu", "memory") if f"requests.{key}" in wants}
    for quota in view.observed.of("ResourceQuota"):
        hard, used = mapping(quota, "status", "hard"), mapping(quota, "status", "used")
        for key, amount in wants.items():
            limit, taken = quantity(hard.get(key)), quantity(used.get(key, 0))
            if limit is not None and taken is not None and taken + amount > limit:
                return verdict(
                    trouble_state(fatal=False, serving=view.serving),
                    "quota_exceeded",
                    f"quota {name_of(quota)} leaves no room: {key} {hard.get(key)}, used {used.get(key, 0)}, one pod needs {amount:f}",
                    evidence=[evidence(quota, f"status.hard[{key}]", hard.get(key))],
                )
    return None


def _advised(view: View, trouble: PodTrouble) -> PodTrouble:
    """With another remedy where an update waits for the GPU of the version before."""
    waits = trouble.reason == "unschedulable_gpu" and view.stale and view.serving
    if not waits or view.config is None or view.config.surge <= 0:
        return trouble
    remedy = (
        "Free a GPU, or have modelRollouts.surge set to 0 in KubeAI's configuration: the new pod waits for the old one's GPU."
    )
    return replace(trouble, advice=remedy)
