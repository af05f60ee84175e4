"""The runtimes: one row for each way of serving on Kubernetes. The platform, the specs, replay and the docs read it.

A new runtime is its module (:class:`airflow_provider_llmserve.runtimes.base.RuntimeOf`) and a row here. Light: every DAG file
that imports an operator imports this.
"""

from __future__ import annotations

from typing import NamedTuple


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
