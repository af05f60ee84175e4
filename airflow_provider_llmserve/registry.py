"""What there is: one row for each platform, and one for each way of serving on Kubernetes. Everybody else reads it here.

A new platform is its package (:class:`airflow_provider_llmserve.platforms.base.Platform`) and a row here, a new runtime its
module (:class:`airflow_provider_llmserve.runtimes.base.RuntimeOf`) and a row here. Light: every DAG file that imports an
operator imports this.
"""

from __future__ import annotations

from typing import NamedTuple


class PlatformRow(NamedTuple):
    """One platform."""

    name: str
    """What calls it: ``platform`` of a connection, of a place and of an endpoint's identity."""
    opens: str
    """``module:class``, under ``platforms``: called with the settings, it makes the platform; imported when it is first
    needed."""
    says: str
    """What the connection's form says of it."""
    example: str
    """What a connection that leads to it says, as JSON."""


PLATFORMS: tuple[PlatformRow, ...] = (
    PlatformRow(
        "kubernetes",
        "kubernetes.platform:KubernetesPlatform",
        "a cluster",
        '{"platform": "kubernetes", "namespace": "kubeai", "kubernetes_conn_id": "kubernetes_default"}',
    ),
    PlatformRow(
        "local",
        "local.platform:LocalPlatform",
        "this machine, no cluster and no GPU (extra [local])",
        '{"platform": "local"}',
    ),
)
"""The one that the connection's form starts with before the others."""


class Row(NamedTuple):
    """One runtime."""

    name: str
    """What calls it: the ``runtime`` of a record, of an endpoint's identity, and of a ``huggingfaceserve`` spec."""
    kind: str
    """The kind of serving run that it carries, as DigitalHub calls it."""
    module: str
    """Where it is, under ``runtimes``; imported when it is first needed."""


RUNTIMES: tuple[Row, ...] = (
    Row("kubeai", "kubeai-text", "kubeai"),
    Row("deployment", "huggingfaceserve", "huggingface.deployment"),
    Row("inferenceservice", "huggingfaceserve", "huggingface.inferenceservice"),
)
"""The default of a kind of serving run before its others."""


def names_of(kind: str) -> tuple[str, ...]:
    """The runtimes that can carry serving runs of ``kind``, the default first."""
    return tuple(row.name for row in RUNTIMES if row.kind == kind)
