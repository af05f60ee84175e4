"""The verdict on a Model: ordered rules, the first that matches wins; none matching means progressing, never ready.

Nothing in a Model's status says whether a change is in effect (reference §2 of the project's notes on KubeAI v0.22.1: no
conditions, no observedGeneration; ``status.replicas`` counts pods of every version). So the verdict is made of the Model's
spec, of the pods it controls, and of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from airflow_provider_llmserve.readiness.fields import name_of
from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.pods import pod_ready, said_last, trouble_verdict
from airflow_provider_llmserve.readiness.reasons import trouble_state, verdict
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.readiness.weights import misfit_of
from airflow_provider_llmserve.runtimes.kubeai import adapters, blocked, deleting, manager_log
from airflow_provider_llmserve.runtimes.kubeai.proof import prove
from airflow_provider_llmserve.runtimes.kubeai.render import mark_in
from airflow_provider_llmserve.runtimes.kubeai.view import REACTS_WITHIN, View, evidence
from airflow_provider_llmserve.runtimes.mark import VARIABLE
from airflow_provider_llmserve.runtimes.parts import LogTail
from airflow_provider_llmserve.runtimes.rules import VISIBLE_WITHIN, first, identity


def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
    """The verdict. Total: any field may be missing."""
    view = View(expected, observed, now)
    if not expected.present:
        return deleting.assess_absence(view)
    return first(RULES, view) or verdict(State.PROGRESSING, "starting", _counts(view), detail=said_last(view.current, observed))


def logs_wanted(expected: Expected, observed: Observed, now: datetime) -> tuple[LogTail, ...]:
    """The manager's log, while pods are lacking, or pods that are right and ready lack an adapter."""
    view = View(expected, observed, now)
    if not expected.present or view.model is None:
        return ()
    pods = len(view.current) < view.replicas or not view.seen_by_manager
    adapter = all(pod_ready(p) for p in view.current) and bool(_unlabelled(view))
    return manager_log.wanted(view) if pods or adapter else ()


def _zero(view: View) -> Verdict | None:
    """No pod is asked for: on purpose, or for want of a number."""
    if view.replicas > 0 or not view.seen_by_manager:
        return None
    if view.alive or view.ending:
        return verdict(State.PROGRESSING, "stopping", f"{len(view.alive) + len(view.ending)} pods are still ending")
    if not view.spec.get("autoscalingDisabled"):
        return verdict(State.SCALED_TO_ZERO, "scaled_to_zero", f"Model {view.name} has no pods now; a request wakes it")
    if "replicas" not in view.asked:
        return verdict(
            State.SCALED_TO_ZERO, "replicas_absent", f"Model {view.name}: autoscalingDisabled without replicas: no pods"
        )
    return verdict(State.SCALED_TO_ZERO, "stopped", f"Model {view.name} is stopped")


def _made_up(view: View) -> Verdict | None:
    trouble = misfit_of(view.current, view.observed)
    return (
        None
        if trouble is None
        else trouble_verdict(trouble, serving=any(pod_ready(p) for p in view.alive if p not in view.current))
    )


def _proven(view: View) -> Verdict | None:
    """Every pod asked for is of our version and ready, no other is left, each carries the adapters' labels: then answers
    decide."""
    if not view.seen_by_manager or view.replicas == 0 or len(view.current) != view.replicas:
        return None
    if view.stale or view.outgoing or view.dead or not all(pod_ready(p) for p in view.current):
        return None
    if view.cache_pending:
        return None
    if _unlabelled(view) or _unwanted(view):
        return None
    return prove(view)


def _unmanaged(view: View) -> Verdict | None:
    """Nothing shows that a manager ever looked at the Model."""
    if view.marked or view.pods:
        return None
    if view.no_manager_here and view.config is not None:
        return verdict(
            State.UNMANAGED,
            "manager_not_running",
            f"KubeAI's configuration is in namespace {view.namespace}, and no manager leads there yet: it may still be starting",
        )
    if view.no_manager_here and view.waited > VISIBLE_WITHIN:
        return verdict(
            State.UNMANAGED,
            "namespace_not_watched",
            f"no KubeAI manager leads in namespace {view.namespace}: the Model carries no mark of it after {view.waited.seconds} s",
            evidence=[evidence(view.model, "metadata.labels", "no features.kubeai.org/…")],
        )
    return blocked.manager_down(view) or verdict(
        State.PROGRESSING, "controller_behind", "KubeAI's manager has not seen the Model yet"
    )


def _cache(view: View) -> Verdict | None:
    if view.alive or not view.cache_pending:
        return None
    return blocked.cache_trouble(view) or verdict(
        State.PROGRESSING, "cache_loading", f"the model is being downloaded into cache {view.spec['cacheProfile']}"
    )


def _no_pods(view: View) -> Verdict | None:
    """Fewer pods of our version than asked for, and nothing that would become one."""
    if len(view.current) >= view.replicas:
        return None
    early = view.manager_had < REACTS_WITHIN
    refused = manager_log.refusal(view, tries=manager_log.TRIES if early else 1)
    if refused is not None or view.current or view.ending or view.manager_idle < REACTS_WITHIN:
        return refused
    return verdict(
        State.DEGRADED if view.serving else State.PROGRESSING,
        "manager_rejects",
        f"no pod of this version was made in {view.manager_idle.seconds} s",
        detail=manager_log.newest_error(view) or _counts(view),
    )


def _mark_lost(view: View) -> Verdict | None:
    """Pods of after our write that carry no mark at all, and stay: something replaces their environment."""
    patched = view.config is not None and bool(view.config.env_patch)
    if not view.unmarked or not (patched or view.manager_had > REACTS_WITHIN):
        return None
    by = "KubeAI's configuration (modelServerPods.jsonPatches)" if patched else "an admission webhook, or KubeAI's configuration,"
    said = f"pod {name_of(view.unmarked[0])} was made of this change without its mark: {by} replaces the environment"
    proof = evidence(view.unmarked[0], "spec.containers[server].env", f"no {VARIABLE}")
    return verdict(State.DEGRADED, "mark_lost", said, evidence=[proof])


def _rollout(view: View) -> Verdict | None:
    """Other versions and surplus pods: they pass."""
    fresh = [p for p in view.current if pod_ready(p)]
    if view.stale:
        name, what = next(iter(view.stale.items()))
        word = "old_pod_still_serves" if len(fresh) >= view.replicas else "old_version_serves"
        return verdict(State.PROGRESSING, word, _counts(view), detail=f"{name}: {what}")
    if view.ending and len(fresh) >= view.replicas:
        same = not any(view.outdated(p) for p in view.ending)
        return verdict(State.PROGRESSING, "surplus_pod" if same else "old_pod_still_serves", _counts(view))
    if view.ending:
        return verdict(State.PROGRESSING, "stopping", _counts(view))
    if len(view.current) > view.replicas:
        return verdict(State.PROGRESSING, "surplus_pod", _counts(view))
    if len(view.current) < view.replicas:
        return verdict(State.PROGRESSING, "pods_missing", _counts(view))
    return None


def _adapters(view: View) -> Verdict | None:
    """Pods are right and ready, labels are not yet."""
    if not all(pod_ready(p) for p in view.current):
        return None
    missing = _unlabelled(view)
    if missing:
        lacking = "; ".join(f"{adapter} on {', '.join(pods)}" for adapter, pods in missing.items())
        return manager_log.explain(view, missing) or verdict(
            State.DEGRADED if view.loading_for > REACTS_WITHIN else State.PROGRESSING,
            "adapter_not_loaded",
            f"adapter not loaded: {lacking}",
            detail="KubeAI tells the cause in its manager's log alone, where nothing was found or which may not be read (pods/log)."
            if view.loading_for > REACTS_WITHIN
            else "",
        )
    unwanted = _unwanted(view)
    if unwanted:
        return verdict(State.PROGRESSING, "adapter_still_loaded", f"adapter still loaded: {', '.join(unwanted)}")
    return None


def _unlabelled(view: View) -> dict[str, list[str]]:
    """Wanted adapter to the pods that do not carry its label with the hash of its URL."""
    found: dict[str, list[str]] = {}
    for name, url in adapters.wanted(view.asked).items():
        pods = [name_of(p) for p in view.current if adapters.labels(p).get(name) != adapters.url_hash(url)]
        if pods:
            found[name] = pods
    return found


def _unwanted(view: View) -> list[str]:
    wanted = adapters.wanted(view.asked)
    return sorted({name for p in view.current for name in adapters.labels(p) if name not in wanted})


def _behind(view: View) -> Verdict | None:
    starting = len(view.current) >= view.replicas and not all(pod_ready(p) for p in view.current)
    if view.seen_by_manager or starting:
        return None
    return verdict(State.PROGRESSING, "controller_behind", f"KubeAI's manager has not acted on our change yet; {_counts(view)}")


def _counts(view: View) -> str:
    fresh = sum(pod_ready(p) for p in view.current)
    parts = [f"{fresh} of {view.replicas} pods of this version are ready"]
    if len(view.current) > fresh:
        parts.append(f"{len(view.current) - fresh} start")
    if view.stale:
        parts.append(f"{len(view.stale)} of another version serve")
    if view.ending:
        parts.append(f"{len(view.ending)} are ending")
    return ", ".join(parts)


def _impossible(view: View) -> Verdict | None:
    """What no wait can mend: the Model itself asks for what cannot be."""
    found = blocked.bad_adapter_names(view) or blocked.unknown_profile(view)
    if found is None:
        return None
    word, summary = found
    return verdict(trouble_state(fatal=True, serving=view.serving), word, summary)


PARTS = (("spec",),)

RULES: Sequence[Callable[[View], Verdict | None]] = (
    *identity(PARTS, mark_in),
    _impossible,
    _unmanaged,
    _zero,
    _made_up,
    _proven,
    _cache,
    blocked.pod_trouble,
    blocked.no_room,
    blocked.manager_down,
    _mark_lost,
    _no_pods,
    _rollout,
    _adapters,
    _behind,
)
