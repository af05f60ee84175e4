"""What a user may ask for."""

from __future__ import annotations

from airflow_provider_llmserve.specs.base import ServeSpec, Spec
from airflow_provider_llmserve.specs.digitalhub import from_digitalhub
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kinds import KINDS
from airflow_provider_llmserve.specs.kubeai import Adapter, KubeAIText
from airflow_provider_llmserve.specs.parse import parse_spec

__all__ = ["KINDS", "Adapter", "HuggingFaceServe", "KubeAIText", "ServeSpec", "Spec", "from_digitalhub", "parse_spec"]
