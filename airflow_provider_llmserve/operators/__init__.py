"""One operator a verb; where it runs is the connection's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_llmserve.operators.adapters import AttachAdapterOperator, DetachAdapterOperator
    from airflow_provider_llmserve.operators.evaluate import EvaluateOperator
    from airflow_provider_llmserve.operators.infer import InferOperator
    from airflow_provider_llmserve.operators.scale import ResumeOperator, ScaleOperator, StopOperator
    from airflow_provider_llmserve.operators.serve import HuggingFaceServeOperator, KubeAITextServeOperator
    from airflow_provider_llmserve.operators.sweep import SweepOperator
    from airflow_provider_llmserve.operators.teardown import TeardownOperator
    from airflow_provider_llmserve.operators.upload_adapter import UploadAdapterOperator

_MODULES = {
    "AttachAdapterOperator": "adapters",
    "DetachAdapterOperator": "adapters",
    "EvaluateOperator": "evaluate",
    "HuggingFaceServeOperator": "serve",
    "InferOperator": "infer",
    "KubeAITextServeOperator": "serve",
    "ResumeOperator": "scale",
    "ScaleOperator": "scale",
    "StopOperator": "scale",
    "SweepOperator": "sweep",
    "TeardownOperator": "teardown",
    "UploadAdapterOperator": "upload_adapter",
}

__all__ = [
    "AttachAdapterOperator",
    "DetachAdapterOperator",
    "EvaluateOperator",
    "HuggingFaceServeOperator",
    "InferOperator",
    "KubeAITextServeOperator",
    "ResumeOperator",
    "ScaleOperator",
    "StopOperator",
    "SweepOperator",
    "TeardownOperator",
    "UploadAdapterOperator",
]


def __getattr__(name: str) -> Any:
    """Import an operator when it is asked for: provider discovery imports this package and must stay cheap."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
