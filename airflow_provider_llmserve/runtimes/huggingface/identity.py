"""Which fields of a live object are not what we applied. Shared by the Deployment and the InferenceService."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import mapping
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.specs.quantity import quantity


def spec_drift(asked: Object, live: Object) -> list[tuple[str, Any]]:
    """:func:`drift` of the whole spec."""
    return list(drift(mapping(asked, "spec"), mapping(live, "spec"), "spec"))


def drift(asked: Any, live: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path and live value of each field that is not what was asked for.

    Fields that we did not set are others' (defaults, policies, autoscalers) and no drift. Lists of named things are compared by
    name, other lists as a whole; quantities by value (``1000m`` is stored as ``1``); what is empty is the same as absent.
    """
    if isinstance(asked, Mapping):
        for key, value in asked.items():
            yield from drift(value, live.get(key) if isinstance(live, Mapping) else None, f"{path}.{key}")
    elif isinstance(asked, (list, tuple)) and asked and all(isinstance(i, Mapping) and "name" in i for i in asked):
        found = live if isinstance(live, (list, tuple)) else ()
        there = {str(i.get("name")): i for i in found if isinstance(i, Mapping)}
        for item in asked:
            yield from drift(item, there.get(str(item["name"])), f"{path}[{item['name']}]")
    elif isinstance(asked, (list, tuple)):
        there_list = live if isinstance(live, (list, tuple)) else ()
        if len(asked) != len(there_list):
            yield path, live
            return
        for i, (one, other) in enumerate(zip(asked, there_list, strict=True)):
            yield from drift(one, other, f"{path}[{i}]")
    elif not _same(asked, live):
        yield path, live


def _same(asked: Any, live: Any) -> bool:
    if asked == live or (asked in (None, "", False, 0) and live in (None, "", False, 0)):
        return True
    amount = quantity(asked)
    return amount is not None and amount == quantity(live)
