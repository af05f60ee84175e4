"""KubeAI-text on Kubernetes: a ``Model`` that KubeAI's manager turns into pods, served through its gateway.

Facts about KubeAI cited in this package were read in v0.22.1 (github.com/kubeai-project/kubeai) and seen in runs of its manager.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_llmserve.runtimes.kinds import (
    CONFIG_MAP,
    EVENT,
    JOB,
    LEASE,
    MODEL,
    POD,
    PRIORITY_CLASS,
    PVC,
    RESOURCE_QUOTA,
    Kind,
)
from airflow_provider_llmserve.runtimes.kubeai import config, view
from airflow_provider_llmserve.runtimes.kubeai.assess import PARTS, assess, logs_wanted
from airflow_provider_llmserve.runtimes.kubeai.endpoint import call, endpoint
from airflow_provider_llmserve.runtimes.kubeai.preflight import findings, lookups, notes
from airflow_provider_llmserve.runtimes.kubeai.render import mark_in, render
from airflow_provider_llmserve.runtimes.kubeai.view import descends
from airflow_provider_llmserve.runtimes.parts import Permission, Watched
from airflow_provider_llmserve.runtimes.record_home import IN_ANNOTATIONS

__all__ = [
    "NAME",
    "PARTS",
    "PERMISSIONS",
    "PRIMARY",
    "RECORD",
    "UNSEEN",
    "assess",
    "call",
    "descends",
    "endpoint",
    "findings",
    "logs_wanted",
    "lookups",
    "mark_in",
    "notes",
    "render",
    "watched",
]

NAME = "kubeai"
PRIMARY: Kind = MODEL
UNSEEN = view.UNSEEN
RECORD = IN_ANNOTATIONS
"""Annotations and labels of a Model never roll its pods out."""

_READ = ("get", "list", "watch")
_WATCH = ("list", "watch")
PERMISSIONS: tuple[Permission, ...] = (
    Permission("kubeai.org", "models", (*_READ, "create", "patch", "delete")),
    Permission("", "pods", _WATCH),
    Permission("", "events", _WATCH, optional=True),
    Permission("", "pods/log", ("get",), optional=True),
    Permission("", "pods/proxy", ("get",), optional=True),
    Permission("", "services/proxy", ("get", "create"), optional=True),
    Permission("", "configmaps", _READ, optional=True),
    Permission("", "secrets", ("get",), optional=True),
    Permission("", "persistentvolumeclaims", _READ, optional=True),
    Permission("", "resourcequotas", _WATCH, optional=True),
    Permission("batch", "jobs", _WATCH, optional=True),
    Permission("coordination.k8s.io", "leases", _READ, optional=True),
    Permission("apiextensions.k8s.io", "customresourcedefinitions", ("get",), optional=True),
    Permission(PRIORITY_CLASS.group, PRIORITY_CLASS.plural, ("get",), optional=True),
)


def watched(name: str) -> Sequence[Watched]:
    """The Model and its pods must be readable; the rest tells why something does not go on."""
    jobs = [f"{verb}-cache-{name}" for verb in ("load", "evict")]
    about_jobs = [one for job in jobs for one in (job, f"{job}-")]
    return (
        Watched(MODEL, name=name),
        Watched(POD, labels=f"model={name}"),
        Watched(POD, labels=f"job-name in ({','.join(jobs)})", required=False),
        Watched(EVENT, required=False, about=(name, f"model-{name}-", *about_jobs, "shared-model-cache-")),
        Watched(LEASE, name=view.MANAGER_LEASE, required=False),
        Watched(CONFIG_MAP, name=config.NAME, required=False),
        *(Watched(JOB, name=job, required=False) for job in jobs),
        Watched(PVC, required=False),
        Watched(RESOURCE_QUOTA, required=False),
    )
