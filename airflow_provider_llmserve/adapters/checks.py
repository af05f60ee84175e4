"""All checks of one adapter, before anything is written.

They stand here and not in the server because servers accept much of it silently: vLLM never compares the base model, drops
config fields it does not know, and answers 200 with the base's output where no key matches (vllm #34186, #55193).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_llmserve.adapters.base_model import same_base
from airflow_provider_llmserve.adapters.options import option_errors, option_warnings, rank_errors
from airflow_provider_llmserve.adapters.peft import base_of
from airflow_provider_llmserve.adapters.safetensors import Tensor
from airflow_provider_llmserve.adapters.shapes import multimodal_warnings, shape_errors
from airflow_provider_llmserve.adapters.tensors import listed, part_of, target_warnings, tensor_errors


@dataclass(frozen=True)
class Adapter:
    """What was read of an adapter folder."""

    config: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    zero: frozenset[str] = frozenset()
    """Names of the tensors that are zero throughout."""
    non_finite: frozenset[str] = frozenset()
    """Names of the tensors with an infinity or NaN."""
    files: frozenset[str] = frozenset()
    """All file names in the folder."""


@dataclass(frozen=True)
class Findings:
    """``errors`` forbid the upload; ``warnings`` are said in the log."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def check(
    adapter: Adapter,
    *,
    base_model: str | None = None,
    max_rank: int | None = None,
    base_config: Mapping[str, Any] | None = None,
) -> Findings:
    """Everything wrong with ``adapter``.

    ``base_model`` is the declared base, ``max_rank`` the server's ``--max-lora-rank``, ``base_config`` the base's
    ``config.json``; what is None is not compared.
    """
    config, tensors = adapter.config, adapter.tensors
    errors = [
        *option_errors(config),
        *rank_errors(config, max_rank),
        *_base_errors(config, base_model),
        *tensor_errors(tensors, config),
        *_value_errors(adapter),
    ]
    warnings = [
        *_base_warnings(config, base_model),
        *option_warnings(config, max_rank),
        *target_warnings(tensors, config),
        *_left_out(adapter.files),
    ]
    if base_config is not None:
        errors += shape_errors(tensors, base_config)
        warnings += multimodal_warnings(tensors, base_config)
    return Findings(tuple(errors), tuple(warnings))


def _base_errors(config: Mapping[str, Any], declared: str | None) -> list[str]:
    trained_on = base_of(config)
    if trained_on is None and not declared:
        named = config.get("base_model_name_or_path")
        what = f"names only a local folder as its base ({named!r})" if named else "names no base model"
        return [f"the adapter {what}; say which it is with base_model="]
    if trained_on and declared and not same_base(trained_on, declared):
        return [f"the adapter was trained on {trained_on!r}, not on {declared!r}: it would answer nonsense there"]
    return []


def _base_warnings(config: Mapping[str, Any], declared: str | None) -> list[str]:
    if base_of(config) is not None or not declared:
        return []
    named = config.get("base_model_name_or_path") or ""
    return [f"base_model_name_or_path is {named!r}; the uploaded copy says {declared!r}, on this task's word"]


def _value_errors(adapter: Adapter) -> list[str]:
    findings = []
    if adapter.non_finite:
        findings.append(f"infinite or not-a-number weights (training diverged): {listed(adapter.non_finite)}")
    outputs = {t.name for t in adapter.tensors if (p := part_of(t)) is not None and p.half == "B"}
    if outputs and outputs <= adapter.zero:
        findings.append("every lora_B is zero, as before training: the adapter would answer as its base does")
    return findings


def _left_out(files: Collection[str]) -> list[str]:
    if "chat_template.jinja" in files:
        return ["chat_template.jinja is not uploaded: servers use the base's template, which must be the one of the training"]
    if "added_tokens.json" in files:
        return ["added_tokens.json is not uploaded: servers use the base's tokenizer, which must be the one of the training"]
    return []
