"""The ways of serving on Kubernetes: a family of modules for each kind of serving run,
one module for each row of ``registry``."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from airflow_provider_llmserve import registry
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.specs import ServeSpec


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises LookupError for one that the registry does not know."""
    row = next((row for row in registry.RUNTIMES if row.name == name), None)
    if row is None:
        raise LookupError(f"no runtime {name!r}; known: {', '.join(row.name for row in registry.RUNTIMES)}")
    return cast(Runtime, import_module(f"{__name__}.{row.module}"))


def runtime_for(spec: ServeSpec) -> Runtime:
    """The runtime that carries this spec."""
    return runtime(spec.runtime_name)


def runtimes_of(kind: str = "") -> tuple[Runtime, ...]:
    """The runtimes that can carry serving runs of ``kind``, or all of them."""
    return tuple(runtime(row.name) for row in registry.RUNTIMES if kind in ("", row.kind))
