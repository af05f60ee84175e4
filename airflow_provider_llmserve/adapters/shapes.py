"""Whether an adapter's matrices fit the base model, where the base's ``config.json`` is at hand."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_llmserve.adapters.peft import is_count
from airflow_provider_llmserve.adapters.safetensors import Tensor
from airflow_provider_llmserve.adapters.tensors import listed, pairs

PLAIN = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "granite", "olmo2"})
"""Model types whose every layer has the same matrices, all derived from the config; of others nothing is claimed."""
_LAYER = re.compile(r"(?:^|\.)layers\.(\d{1,6})\.")


def shape_errors(tensors: Collection[Tensor], base_config: Mapping[str, Any]) -> list[str]:
    """Layers that the base lacks, and matrices of other sizes than its own: an adapter for another base."""
    findings = []
    layers = base_config.get("num_hidden_layers")
    beyond, unfit = [], []
    sizes = _sizes(base_config)
    for pair in pairs(tensors):
        number = _LAYER.search(pair.module)
        if number and is_count(layers) and int(number.group(1)) >= layers:
            beyond.append(pair.module)
        expected = sizes.get(pair.module.rpartition(".")[2])
        found = (pair.a.shape[1], pair.b.shape[0])
        if expected and found != expected:
            unfit.append(f"{pair.module} ({found[0]} to {found[1]}, the base has {expected[0]} to {expected[1]})")
    if beyond:
        findings.append(f"layers that the base does not have (it has {layers}): {listed(beyond)}; trained on another base?")
    if unfit:
        findings.append(f"sizes of another base model: {listed(unfit)}")
    return findings


def multimodal_warnings(tensors: Collection[Tensor], base_config: Mapping[str, Any]) -> list[str]:
    """Keys that miss the language model inside a multimodal one (vllm #34186)."""
    names = base_config.get("architectures")
    several = isinstance(names, list) and any(str(n).endswith("ForConditionalGeneration") for n in names)
    if several and any(p.module.startswith("model.layers.") for p in pairs(tensors)):
        return ["the base is multimodal but the adapter's modules start with 'model.layers.': servers may load it without effect"]
    return []


def _sizes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Module name to (inputs, outputs), for those that can be told."""
    if str(config.get("model_type")) not in PLAIN:
        return {}
    hidden, inner, heads = (config.get(k) for k in ("hidden_size", "intermediate_size", "num_attention_heads"))
    if not (is_count(hidden) and is_count(inner) and is_count(heads)):
        return {}
    key_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or hidden // heads
    if not (is_count(key_heads) and is_count(head)):
        return {}
    return {
        "q_proj": (hidden, heads * head),
        "k_proj": (hidden, key_heads * head),
        "v_proj": (hidden, key_heads * head),
        "o_proj": (heads * head, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }
