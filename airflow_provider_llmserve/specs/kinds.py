"""The specs by kind of serving run."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_llmserve.specs.base import ServeSpec
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kubeai import KubeAIText

KINDS: Mapping[str, type[ServeSpec]] = {cls.kind: cls for cls in (KubeAIText, HuggingFaceServe)}
