"""What a user may ask for."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmserve.specs.base import ServeSpec, Spec
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kubeai import Adapter, KubeAIText

__all__ = ["KINDS", "Adapter", "HuggingFaceServe", "KubeAIText", "ServeSpec", "Spec", "kind_finding"]

KINDS: dict[str, type[ServeSpec]] = {cls.kind: cls for cls in (KubeAIText, HuggingFaceServe)}
"""Kind of a serving run to its spec."""


def kind_finding(kind: Any) -> str:
    """What is wrong with the kind of a serving run; empty where nothing is."""
    return "" if kind in list(KINDS) else f"unknown kind {kind!r}; known: {', '.join(KINDS)}"
