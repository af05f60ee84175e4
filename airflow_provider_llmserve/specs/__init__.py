"""What a user may ask for."""

from __future__ import annotations

from airflow_provider_llmserve.specs.base import ServeSpec, Spec
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kubeai import Adapter, KubeAIText

__all__ = ["KINDS", "Adapter", "HuggingFaceServe", "KubeAIText", "ServeSpec", "Spec"]

KINDS: dict[str, type[ServeSpec]] = {cls.kind: cls for cls in (KubeAIText, HuggingFaceServe)}
"""Kind of a serving run to its spec."""
