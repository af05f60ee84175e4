"""What a user may ask for."""

from airflow_provider_llmserve.specs.base import ServeSpec, Spec
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kubeai import Adapter, KubeAIText

__all__ = ["Adapter", "HuggingFaceServe", "KubeAIText", "ServeSpec", "Spec"]
