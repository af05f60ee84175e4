"""Events about an object, in either API: core/v1 (``involvedObject``, ``message``,
``count``) or events.k8s.io/v1 (``regarding``, ``note``, ``series``)."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow_provider_llmserve.readiness.fields import mapping, moment, name_of, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object, Observed

_GOES_ON = ("Scheduled", "Pulling", "Pulled", "Created", "Started")
"""The kubelet passes a pod's volumes and sandbox before it pulls an image (pkg/kubelet/kubelet.go, SyncPod)."""
_ASIDE = frozenset(
    (
        "BackOff",
        "DNSConfigForming",
        "Failed",
        "FailedToRetrieveImagePullSecret",
        "MissingClusterDNS",
        "PolicyViolation",
        "Unhealthy",
    )
)
"""Warnings that stop no pod by themselves, or whose cause its containers tell."""
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def events_about(observed: Observed, about: Object, *reasons: str) -> list[Object]:
    """The events about ``about``, newest first, of these reasons (none given: all).

    An event about an earlier object of the same name is left out: it names another uid.
    """
    uid, name, kind = uid_of(about), name_of(about), text(about, "kind")
    found = []
    for event in observed.events_named(name):
        if reasons and event.get("reason") not in reasons:
            continue
        target = mapping(event, "involvedObject") or mapping(event, "regarding")
        if target.get("kind") != kind:
            continue
        if uid and text(target, "uid") and text(target, "uid") != uid:
            continue
        found.append(event)
    return sorted(found, key=lambda e: event_time(e) or _LONG_AGO, reverse=True)


def standing_warnings(observed: Observed, pod: Object) -> list[Object]:
    """The warnings about a pod that nothing has overtaken since, newest first."""
    about = events_about(observed, pod)
    over = max((event_time(e) or _LONG_AGO for e in about if e.get("reason") in _GOES_ON), default=_LONG_AGO)
    return [
        e
        for e in about
        if e.get("type") != "Normal"
        and e.get("reason") not in (*_GOES_ON, *_ASIDE)
        and not (e.get("reason") == "FailedScheduling" and text(pod, "spec", "nodeName"))
        and ((at := event_time(e)) is None or at >= over)
    ]


def event_time(event: Object) -> datetime | None:
    """When it was seen last."""
    for path in (
        ("series", "lastObservedTime"),
        ("lastTimestamp",),
        ("deprecatedLastTimestamp",),
        ("eventTime",),
        ("firstTimestamp",),
    ):
        found = moment(event, *path)
        if found:
            return found
    return moment(event, "metadata", "creationTimestamp")


def event_text(event: Object) -> str:
    """What it says, in either API: ``message`` of core/v1, ``note`` of events.k8s.io."""
    return text(event, "message") or text(event, "note")
