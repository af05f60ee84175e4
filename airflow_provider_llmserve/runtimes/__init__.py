"""The ways of serving on Kubernetes, one module each."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec

RUNTIMES: dict[str, tuple[str, ...]] = {
    KubeAIText.kind: ("kubeai",),
    HuggingFaceServe.kind: ("deployment", "inferenceservice"),
}
"""Kind of a serving run to the modules that can carry it, the default first. A module is imported when it is first needed."""


def runtime(name: str) -> Runtime:
    """The runtime module of that name."""
    return cast(Runtime, import_module(f"{__name__}.{name}"))


def runtime_for(spec: ServeSpec) -> Runtime:
    """The runtime that carries this spec."""
    return runtime(getattr(spec, "runtime", RUNTIMES[spec.kind][0]))


def runtimes_of(kind: str = "") -> tuple[Runtime, ...]:
    """The runtimes that can carry serving runs of ``kind``, or all of them."""
    return tuple(runtime(name) for k, names in RUNTIMES.items() if kind in ("", k) for name in names)
