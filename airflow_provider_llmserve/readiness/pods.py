"""What is wrong with a pod: the one diagnosis that every runtime on Kubernetes shares.

The rules follow the kubelet of Kubernetes 1.36 and are ordered, first match wins: thrown out, not scheduled, a container that
cannot be made, a container that ended, a container that runs and is not ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_llmserve.readiness.causes import Cause, cause_in, system_of
from airflow_provider_llmserve.readiness.containers import (
    EXITS_OF_THE_WORLD,
    Container,
    containers,
    doomed,
    exit_cause,
    exit_trouble,
    printed,
    unready_cause,
)
from airflow_provider_llmserve.readiness.events import event_text, events_about, standing_warnings
from airflow_provider_llmserve.readiness.fields import condition, is_true, items, moment, name_of, number, terminating, text
from airflow_provider_llmserve.readiness.log_lines import latest_line
from airflow_provider_llmserve.readiness.observed import Object, Observed
from airflow_provider_llmserve.readiness.reasons import REASONS, trouble_state, verdict
from airflow_provider_llmserve.readiness.state import Evidence, Verdict

SCHEDULING_GRACE = timedelta(minutes=5)
"""How long a pod may wait for a node before that is a failure: a node pool needs minutes to grow."""

QUOTED = 1000
"""Characters that are quoted of what the cluster says; an event holds 1,024."""

SECOND_PULL_WITHIN = timedelta(seconds=30)
"""How long after a pod was made its second pull has failed too: the kubelet backs off for 10 s after the first."""

_CREATING = ("", "ContainerCreating", "PodInitializing")
_GENERAL = ("volume_not_mounted", "sandbox_not_made", "pod_not_started")
"""Words for an event that no row knows, the one that says most first."""
_PULLING = ("ErrImagePull", "ImagePullBackOff")
_SERVERS = ("server", "kserve-container")
"""Names of the container that serves the model, in all runtimes."""
_REFUSES_MISFITS = ("vllm", "ollama")
_ORDINARY_UNREADY = ("ContainersNotReady", "PodCompleted", "PodFailed", "UnknownContainerStatuses", "")
"""Reasons of a false condition Ready that say no more than its containers do (pkg/kubelet/status/generate.go)."""


@dataclass(frozen=True)
class PodTrouble:
    """What stands in one pod's way. ``fatal``: it will not pass by itself. ``advice`` None: the word's own."""

    pod: str
    reason: str
    summary: str
    detail: str = ""
    advice: str | None = None
    evidence: tuple[Evidence, ...] = ()
    since: datetime | None = None
    fatal: bool = False
    container: str = ""
    log: tuple[str, ...] = ()
    """Telling lines of the container's log."""


def pod_ready(pod: Object) -> bool:
    """Condition Ready is True, and the pod is not on its way out."""
    return is_true(pod, "Ready") and not terminating(pod) and text(pod, "status", "phase") not in ("Failed", "Succeeded")


def pod_ended(pod: Object) -> bool:
    """Phase Failed or Succeeded: a corpse, which never runs again."""
    return text(pod, "status", "phase") in ("Failed", "Succeeded")


def pod_stands(pod: Object) -> bool:
    """Its containers may still run, or it was told to end and its kubelet has not let go of it: a pod outlives its containers by
    a second. A corpse that nobody removes does not count."""
    return not pod_ended(pod) or terminating(pod)


def diagnose_pod(
    pod: Object, observed: Observed, now: datetime, *, system: str = "", grace: timedelta = SCHEDULING_GRACE
) -> PodTrouble | None:
    """What stands in the pod's way, or None where nothing does (it serves, starts, or ends as it was told to).

    ``system`` (a key of ``cause_table.FAMILY``) says what its main containers run where their images do not; ``grace`` is how
    long it may wait for a node.
    """
    thrown_out = _thrown_out(pod, observed, system)
    if thrown_out or terminating(pod):
        return thrown_out
    if pod_ready(pod):
        return None
    waiting = _unscheduled(pod, observed, now, grace)
    if waiting:
        return waiting
    all_containers = containers(pod)
    for one in all_containers:
        trouble = _container_trouble(pod, one, observed, now, system)
        if trouble:
            return replace(trouble, log=printed(pod, one, observed, trouble.detail))
    return _before_start(pod, observed, all_containers) or _said_of_the_pod(pod, all_containers)


def worst(troubles: Iterable[PodTrouble | None], pods: int | None = None) -> PodTrouble | None:
    """The worst of several pods' troubles: fatal before passing, then the oldest; None where there is none.

    Its summary says how many of ``pods`` (default: as many as have trouble) have it, and which.
    """
    found = [t for t in troubles if t is not None]
    if not found:
        return None
    first = min(found, key=lambda t: (not t.fatal, t.since is None, t.since.timestamp() if t.since else 0.0, t.pod))
    alike = sorted({t.pod for t in found if t.reason == first.reason})
    total = pods if pods is not None else len({t.pod for t in found})
    if total <= 1:
        return first
    named = ", ".join(alike[:3]) + (f" and {len(alike) - 3} more" if len(alike) > 3 else "")
    others = sorted({t.reason for t in found} - {first.reason})
    also = f" (also {', '.join(others)})" if others else ""
    return replace(first, summary=f"{len(alike)} of {total} pods: {first.summary}: {named}{also}")


def trouble_verdict(trouble: PodTrouble, *, serving: bool, note: str = "") -> Verdict:
    """The verdict over a run that ``trouble`` stands in the way of, and that ``serving`` pods keep up or not.

    ``note`` goes behind the summary: figures, or a cause.
    """
    return verdict(
        trouble_state(fatal=trouble.fatal, serving=serving),
        trouble.reason,
        f"{trouble.summary} ({note})" if note else trouble.summary,
        detail=trouble.detail,
        advice=trouble.advice,
        evidence=trouble.evidence,
        fatal=trouble.fatal,
        log=trouble.log,
    )


@dataclass(frozen=True)
class WantedLog:
    """A container's log that would tell more. ``previous``: of the run before its last restart; ``growing``: it runs, so its log
    has more to say later; ``restarts`` tells one run of the container from the next."""

    pod: str
    container: str
    previous: bool = False
    growing: bool = False
    restarts: int = 0


def logs_wanted(observed: Observed) -> tuple[WantedLog, ...]:
    """Which logs would help: of containers that ended, of those that run and fail their probe, of all that run once a request was
    answered by a 5xx, and once of each ready server that may have made up weights (``readiness.weights``)."""
    wanted: dict[WantedLog, None] = {}
    broken = any(r.status >= 500 for r in observed.replies)
    for pod in observed.of("Pod"):
        name = name_of(pod)
        if terminating(pod) or not name:
            continue
        unhealthy = bool(events_about(observed, pod, "Unhealthy"))
        for one in containers(pod):
            if one.exits and one.last_exit and not one.ready:
                wanted[WantedLog(name, one.name, previous=not one.ended_now, restarts=one.restarts)] = None
            elif one.running and (broken or (not one.ready and unhealthy)):
                wanted[WantedLog(name, one.name, growing=True, restarts=one.restarts)] = None
            elif one.running and one.ready and one.name in _SERVERS and system_of(one.spec) not in _REFUSES_MISFITS:
                wanted[WantedLog(name, one.name, restarts=one.restarts)] = None
    return tuple(wanted)


def said_last(pods: Iterable[Object], observed: Observed) -> str:
    """What a server that is not ready yet printed last: what it waits for. Empty where no log of one was read."""
    for pod in pods:
        starting = {c.name for c in containers(pod) if c.running and not c.ready and c.name in _SERVERS}
        for log in observed.logs:
            if log.pod == name_of(pod) and log.container in starting and not log.previous:
                line = latest_line(log.text)
                if line:
                    return f"{log.pod} says: {line}"
    return ""


def _trouble(
    pod: Object, cause: Cause, summary: str, *, field: str, value: str, since: datetime | None, fatal: bool | None = None
) -> PodTrouble:
    return PodTrouble(
        pod=name_of(pod),
        reason=cause.reason,
        summary=summary,
        detail=cause.line[:QUOTED],
        advice=cause.advice,
        evidence=(Evidence(f"Pod {name_of(pod)}", field, value[:QUOTED], since.isoformat() if since else ""),),
        since=since,
        fatal=REASONS[cause.reason].impossible if fatal is None else fatal,
    )


def _thrown_out(pod: Object, observed: Observed, system: str) -> PodTrouble | None:
    """Evicted, preempted, or lost with its node. Sources: pkg/kubelet/eviction, node lifecycle and taint eviction controllers."""
    reason, message = text(pod, "status", "reason"), text(pod, "status", "message")
    target = condition(pod, "DisruptionTarget")
    by_condition = target if target.get("status") == "True" else {}
    cause = cause_in("pod", reason, message) if text(pod, "status", "phase") == "Failed" or reason == "NodeLost" else None
    if cause is None and pod_ended(pod):
        # A server that ends with 0 when it is told to leaves phase Succeeded: only the event tells of the eviction.
        told = (cause_in("pod", "Evicted", event_text(e)) for e in events_about(observed, pod, "Evicted"))
        cause = next((c for c in told if c is not None), None)
    if cause is None and by_condition:
        cause = cause_in("condition", text(by_condition, "reason"), text(by_condition, "message"))
    if cause is not None:
        since = moment(by_condition, "lastTransitionTime") or moment(pod, "metadata", "deletionTimestamp")
        line = message or text(by_condition, "message")
        found = replace(cause, line=line or cause.line)
        field = "status.reason" if reason else "conditions[DisruptionTarget].reason"
        return _trouble(
            pod, found, REASONS[cause.reason].meaning, field=field, value=reason or text(by_condition, "reason"), since=since
        )
    if text(pod, "status", "phase") == "Failed" and not terminating(pod):
        return _failed(pod, observed, system)
    ready = condition(pod, "Ready")
    for event in events_about(observed, pod, "NodeNotReady"):
        # The node lifecycle controller turns Ready off and says so by an event; the kubelet cannot speak any more.
        if ready.get("status") != "True":
            since = moment(ready, "lastTransitionTime")
            return _trouble(
                pod,
                Cause("node_lost", event_text(event)),
                "its node stopped reporting",
                field="Event NodeNotReady",
                value=event_text(event),
                since=since,
            )
    return None


def _failed(pod: Object, observed: Observed, system: str) -> PodTrouble:
    """A corpse that nobody threw out: what a container of it died of, else what its status says."""
    reason, message = text(pod, "status", "reason"), text(pod, "status", "message")
    ended = next((one for one in containers(pod) if one.last_exit), None)
    cause = exit_cause(pod, ended, observed, system_of(ended.spec) or system) if ended else Cause("pod_failed", "")
    word = "pod_failed" if cause.reason in ("container_restarting", "crash_loop") else cause.reason
    line = "; ".join(filter(None, (message, cause.line))) or (ended.describe_exit() if ended else "")
    found = Cause(word, line, None if word == "pod_failed" else cause.advice)
    value = f"Failed ({reason})" if reason else "Failed"
    return _trouble(pod, found, "the pod ended", field="status.phase", value=value, since=None, fatal=False)


def _unscheduled(pod: Object, observed: Observed, now: datetime, grace: timedelta) -> PodTrouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    reason, message = text(scheduled, "reason"), text(scheduled, "message")
    cause = replace(cause_in("condition", reason, message) or Cause("unschedulable", ""), line=message or reason)
    if cause.reason in ("pvc_unbound", "pvc_missing"):
        cause = _claim_cause(pod, observed) or cause
    since = moment(scheduled, "lastTransitionTime") or moment(pod, "metadata", "creationTimestamp")
    # A cluster autoscaler that has said it adds a node may take longer than any grace: the task's own deadline counts.
    grows = bool(events_about(observed, pod, "TriggeredScaleUp"))
    late = since is not None and now - since > grace and cause.reason != "scheduling_gated" and not grows
    return _trouble(
        pod,
        cause,
        "no node takes the pod" if cause.reason != "scheduling_gated" else "a scheduling gate holds the pod",
        field="conditions[PodScheduled]",
        value=reason,
        since=since,
        # Nodes may still come for whatever lacks a node, also in a volume's zone; nothing comes for a class that does not exist.
        fatal=late or (REASONS[cause.reason].impossible and not cause.reason.startswith("unschedulable")),
    )


def _claim_cause(pod: Object, observed: Observed) -> Cause | None:
    """Why the pod's volume claims are not bound, from the claims' own events."""
    for volume in items(pod, "spec", "volumes"):
        name = text(volume, "persistentVolumeClaim", "claimName")
        claim = observed.get("PersistentVolumeClaim", name) if name else None
        about = claim or {"kind": "PersistentVolumeClaim", "metadata": {"name": name}}
        for event in events_about(observed, about, "ProvisioningFailed", "FailedBinding") if name else ():
            found = cause_in("event", text(event, "reason"), event_text(event))
            if found:
                return replace(found, line=event_text(event))
    return None


def _container_trouble(pod: Object, one: Container, observed: Observed, now: datetime, system: str) -> PodTrouble | None:
    system = system_of(one.spec) or system
    reason, message = text(one.waiting, "reason"), text(one.waiting, "message")
    if reason in _PULLING:
        return _pull_trouble(pod, one, observed, now, reason, message)
    told = doomed(pod, one, observed)
    if told is not None:
        summary = f"container {one.name} is about to be ended"
        cause, final = told
        ending = _trouble(pod, cause, summary, field="Event Killing", value=cause.line, since=one.started_at, fatal=final)
        return replace(ending, container=one.name)
    if one.last_exit:
        return _exit(pod, one, observed, now, system)
    if reason not in _CREATING or message:
        loops = reason == "CrashLoopBackOff"  # and nothing is left of how it ended
        general = Cause("crash_loop" if loops else "container_create_failed", "")
        cause = cause_in("waiting", reason, message, system) or general
        fatal = one.exits >= EXITS_OF_THE_WORLD if cause is general and loops else None
        found = replace(cause, line=message or cause.line)
        field = f"{one.field}.state.waiting.reason"
        trouble = _trouble(pod, found, f"container {one.name}: {reason}", field=field, value=reason, since=None, fatal=fatal)
        return replace(trouble, container=one.name)
    if one.running and not one.ready and not one.init:
        slow = unready_cause(pod, one, observed, system)
        if slow:
            summary = f"container {one.name} runs and is not ready"
            trouble = _trouble(pod, slow, summary, field=f"{one.field}.ready", value="false", since=one.started_at, fatal=False)
            return replace(trouble, container=one.name)
    return None


def _failed_pulls(pod: Object, one: Container, observed: Observed) -> int:
    """How often its image was not pulled, as far as the kubelet's events tell (they are rationed): the failures, or one less than
    were begun."""
    image = f'"{text(one.spec, "image")}"'
    counted = {
        reason: sum(
            max(number(e, "count"), number(e, "series", "count"), 1)
            for e in events_about(observed, pod, reason)
            if image in event_text(e) and "pull" in event_text(e).lower()
        )
        for reason in ("Pulling", "Failed")
    }
    return max(counted["Failed"], counted["Pulling"] - 1)


def _pull_trouble(pod: Object, one: Container, observed: Observed, now: datetime, reason: str, message: str) -> PodTrouble:
    """Kubelets before 1.33 say the cause only in the event, not beside ImagePullBackOff. The first failure may pass (an image
    that is being pushed), and the kubelet backs off 0.9 s after it: final is the second pull that failed."""
    failures = [event_text(e) for e in events_about(observed, pod, "Failed") if "pull" in event_text(e).lower()]
    cause = None
    line = message
    for line in (message, *failures):
        cause = cause_in("waiting", reason, line)
        if cause and cause.reason != "image_pull_failed":
            break
    if cause is None or cause.reason == "image_pull_failed":
        more = max(failures, key=len, default="")
        cause = Cause("image_pull_failed", "")
        line = "; ".join(filter(None, (message, more if more not in message else "")))
    if cause.reason in ("image_pull_denied", "image_pull_failed") and events_about(
        observed, pod, "FailedToRetrieveImagePullSecret"
    ):
        cause = Cause("image_pull_secret_missing", "")
    again = _failed_pulls(pod, one, observed) > 1
    made = moment(pod, "metadata", "creationTimestamp")
    again = again or (reason == "ImagePullBackOff" and (made is None or now - made > SECOND_PULL_WITHIN))
    summary = f"container {one.name}: image {text(one.spec, 'image') or '?'} is not pulled"
    trouble = _trouble(
        pod,
        replace(cause, line=line),
        summary,
        field=f"{one.field}.state.waiting.reason",
        value=reason,
        since=None,
        fatal=again and REASONS[cause.reason].impossible,
    )
    return replace(trouble, container=one.name)


def _exit(pod: Object, one: Container, observed: Observed, now: datetime, system: str) -> PodTrouble | None:
    found = exit_trouble(pod, one, observed, now, system)
    if found is None:
        return None
    cause, fatal = found
    ended: Mapping[str, Any] = one.last_exit
    how = f"{text(ended, 'reason')} {ended.get('exitCode', '')}".strip()
    trouble = _trouble(
        pod,
        cause,
        f"container {one.name} {one.describe_exit()}",
        field=f"{one.field}.{'state' if one.ended_now else 'lastState'}.terminated",
        value=": ".join(filter(None, (how, text(ended, "message")))),
        since=moment(ended, "finishedAt"),
        fatal=fatal,
    )
    return replace(trouble, container=one.name)


def _before_start(pod: Object, observed: Observed, all_containers: list[Container]) -> PodTrouble | None:
    """Volumes, sandbox, Secrets: what keeps every container from being made shows in events only.

    A text that is known comes before one that is not, whichever is the newer.
    """
    if any(one.running or one.last_exit for one in all_containers):
        return None
    told = [
        (e, cause_in("event", text(e, "reason"), event_text(e)) or Cause("pod_not_started", ""))
        for e in standing_warnings(observed, pod)
    ]
    if not told:
        return None
    event, cause = min(told, key=lambda one: _GENERAL.index(one[1].reason) if one[1].reason in _GENERAL else -1)
    found = replace(cause, line=event_text(event))
    return _trouble(
        pod,
        found,
        "the pod's containers cannot be made",
        field=f"Event {text(event, 'reason')}",
        value=event_text(event),
        since=None,
    )


def _said_of_the_pod(pod: Object, all_containers: list[Container]) -> PodTrouble | None:
    """What the pod's own status says where its containers say nothing."""
    ready = condition(pod, "Ready")
    reason, message = text(ready, "reason"), text(ready, "message")
    if ready.get("status") == "False" and reason not in _ORDINARY_UNREADY:
        held = Cause("readiness_failing", message or reason)
        since = moment(ready, "lastTransitionTime")
        return _trouble(pod, held, "the pod is held unready", field="conditions[Ready]", value=reason, since=since)
    reason, message = text(pod, "status", "reason"), text(pod, "status", "message")
    if (reason or message) and not any(one.running for one in all_containers):
        said = Cause("pod_not_started", message or reason)
        return _trouble(pod, said, "the pod does not start", field="status.reason", value=reason, since=None)
    return None
