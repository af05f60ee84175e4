"""How far a Deployment's rollout is, from Deployment, ReplicaSets and pods.

The order is kstatus' (kubernetes-sigs/cli-utils pkg/kstatus/status/core.go deploymentConditions): generation, paused, counts.
Beyond it the pods themselves are counted, for the Deployment's figures trail them, and ``ProgressDeadlineExceeded`` is no cause:
the controller goes on trying, and pods may still come (pkg/controller/deployment/progress.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_llmserve.readiness.causes import Cause, cause_in
from airflow_provider_llmserve.readiness.events import event_text, event_time, events_about
from airflow_provider_llmserve.readiness.fields import (
    at,
    condition,
    is_true,
    labels_of,
    mapping,
    moment,
    name_of,
    number,
    owned_by,
    terminating,
    text,
    uid_of,
)
from airflow_provider_llmserve.readiness.observed import Object, Observed
from airflow_provider_llmserve.readiness.pods import PodTrouble, pod_ended, pod_ready
from airflow_provider_llmserve.readiness.reasons import REASONS
from airflow_provider_llmserve.readiness.state import Evidence

HASH_LABEL = "pod-template-hash"


@dataclass(frozen=True)
class Progress:
    """``reason`` is empty when the rollout is complete:
    every pod asked for is of the newest template and Ready, no other is left.

    ``pods`` and ``old_pods`` are those of the newest and of earlier templates, without terminating ones and corpses.
    """

    reason: str
    summary: str
    wanted: int
    current: Object | None = None
    pods: tuple[Object, ...] = ()
    old_pods: tuple[Object, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def ready(self) -> int:
        """Ready pods of the newest template."""
        return sum(pod_ready(p) for p in self.pods)

    @property
    def serving(self) -> bool:
        """Some pod, of whatever version, is Ready."""
        return any(pod_ready(p) for p in (*self.pods, *self.old_pods))


def wanted_replicas(deployment: Object) -> int:
    """``spec.replicas``, which means 1 where it is absent."""
    found = at(deployment, "spec", "replicas")
    return found if isinstance(found, int) else 1


def replica_sets(deployment: Object, observed: Observed) -> list[Object]:
    """Those that belong to the Deployment."""
    return [r for r in observed.of("ReplicaSet") if owned_by(r, uid_of(deployment))]


def current_replica_set(deployment: Object, observed: Observed) -> Object | None:
    """The ReplicaSet of the Deployment's present template (EqualIgnoreHash, pkg/controller/deployment/util), None before it is
    made. Where admission rewrites ReplicaSets none is equal: then it is one that has all the annotations of the template, where
    there are any (our mark is one, a restart is another)."""
    template, sets = _without_hash(mapping(deployment, "spec", "template")), replica_sets(deployment, observed)
    equal = next((r for r in sets if _without_hash(mapping(r, "spec", "template")) == template), None)
    asked = mapping(template, "metadata", "annotations")
    if equal is not None or not asked:
        return equal
    return next((r for r in sets if asked.items() <= mapping(r, "spec", "template", "metadata", "annotations").items()), None)


def progress(deployment: Object, observed: Observed) -> Progress:
    """How far it is."""
    wanted = wanted_replicas(deployment)
    current = current_replica_set(deployment, observed)
    new, old = _pods(deployment, current, observed)
    so_far = Progress("", "", wanted, current, new, old)
    generation, seen = number(deployment, "metadata", "generation"), number(deployment, "status", "observedGeneration")
    if seen < generation:
        proof = Evidence(f"Deployment {name_of(deployment)}", "status.observedGeneration", f"{seen} < {generation}")
        return replace(
            so_far, reason="controller_behind", summary="the deployment controller has not seen this change", evidence=(proof,)
        )
    ready, live = so_far.ready, len(new)
    figures = f"{ready} of {wanted} pods of this version are ready" + (f", {len(old)} of earlier ones remain" if old else "")
    paused = at(deployment, "spec", "paused") is True
    if paused and (current is None or ready < wanted or old):
        proof = Evidence(f"Deployment {name_of(deployment)}", "spec.paused", "true")
        return replace(so_far, reason="paused", summary=f"the rollout is paused; {figures}", evidence=(proof,))
    if current is None and wanted > 0:
        return replace(so_far, reason="old_version_serves" if so_far.serving else "starting", summary=figures)
    if ready < wanted:
        old_serves = not ready and any(pod_ready(p) for p in old)
        reason = "old_version_serves" if old_serves else "starting" if live >= wanted else "pods_missing"
        return replace(so_far, reason=reason, summary=figures)
    if old:
        return replace(so_far, reason="old_pod_still_serves" if wanted else "stopping", summary=figures)
    if live > wanted:
        return replace(so_far, reason="surplus_pod" if wanted else "stopping", summary=f"{live} pods, {wanted} asked for")
    return replace(so_far, summary=figures)


def creation_trouble(owner: Object, observed: Observed) -> PodTrouble | None:
    """Why a controller cannot make pods, from its condition ReplicaFailure and its newest FailedCreate event.

    ``owner`` is the ReplicaSet (or another controller that writes such events). A quota that is freed heals by itself, so most
    of these are waiting.
    """
    failure = condition(owner, "ReplicaFailure")
    message, since = "", None
    if failure.get("status") == "True":
        message, since = text(failure, "message"), moment(failure, "lastTransitionTime")
    elif at(owner, "status", "replicas") is None or number(owner, "status", "replicas") < wanted_replicas(owner):
        for event in events_about(observed, owner, "FailedCreate")[:1]:
            message, since = event_text(event), event_time(event)
    if not message:
        return None
    cause = cause_in("api", "FailedCreate", message) or Cause("pod_refused", message)
    return PodTrouble(
        pod="",
        reason=cause.reason,
        summary="the API server refuses a pod",
        detail=message,
        advice=cause.advice,
        evidence=(
            Evidence(f"{text(owner, 'kind')} {name_of(owner)}", "FailedCreate", message, since.isoformat() if since else ""),
        ),
        since=since,
        fatal=REASONS[cause.reason].impossible,
    )


def deadlock(state: Progress, troubles: list[PodTrouble], ending: Sequence[Object] = ()) -> PodTrouble | None:
    """A new pod that waits for room which only an old pod could free, and the old one stays until the new one is ready.

    None where there is no old pod, where the pods wait for something else, and while one is ``ending``, which frees its room.
    """
    holders = [p for p in state.old_pods if pod_ready(p)]
    waiting = [t for t in troubles if t.reason in ("unschedulable_gpu", "unschedulable_cpu", "unschedulable_memory")]
    if not holders or not waiting or state.ready or ending:
        return None
    first = waiting[0]
    return replace(
        first,
        reason="rollout_deadlock",
        summary=f"pod {first.pod} waits for room that {name_of(holders[0])} holds until it is ready",
        advice=None,
    )


def rollout_complete(deployment: Object) -> bool:
    """The Deployment's own figures say that it is done: what remains is proof by pods and answers."""
    wanted, status = wanted_replicas(deployment), mapping(deployment, "status")
    counts = [number(status, key) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    return (
        number(status, "observedGeneration") >= number(deployment, "metadata", "generation")
        and all(count == wanted for count in counts)
        and (wanted == 0 or is_true(deployment, "Available"))
    )


def _pods(deployment: Object, current: Object | None, observed: Observed) -> tuple[tuple[Object, ...], tuple[Object, ...]]:
    sets = {uid_of(r) for r in replica_sets(deployment, observed)}
    here = uid_of(current) if current is not None else ""
    new: list[Object] = []
    old: list[Object] = []
    for pod in observed.of("Pod"):
        if terminating(pod) or pod_ended(pod) or not any(owned_by(pod, uid) for uid in sets):
            continue
        (new if owned_by(pod, here) else old).append(pod)
    return tuple(new), tuple(old)


def _without_hash(template: Object) -> Object:
    metadata = dict(mapping(template, "metadata"))
    metadata.pop("creationTimestamp", None)
    metadata["labels"] = {k: v for k, v in labels_of(template).items() if k != HASH_LABEL}
    return {**template, "metadata": metadata}
