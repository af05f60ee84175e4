"""Sensors for served models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_llmserve.sensors.endpoint import EndpointReadySensor

__all__ = ["EndpointReadySensor"]


def __getattr__(name: str) -> Any:
    if name != "EndpointReadySensor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_llmserve.sensors.endpoint import EndpointReadySensor

    return EndpointReadySensor
