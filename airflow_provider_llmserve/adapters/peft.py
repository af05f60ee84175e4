"""The layout of a PEFT adapter folder, and the fields of its config that servers read (peft 0.21.2, vLLM 0.33.0)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeGuard

from airflow_provider_llmserve.adapters.base_model import canonical, is_local
from airflow_provider_llmserve.errors import BadInput

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
ALLOWED = (WEIGHTS, CONFIG)
"""All that is ever uploaded, in this order: what servers read. Never optimizer states, ``training_args.bin`` (a pickle) or a
model card with the trainer's paths."""
MAX_CONFIG = 1024 * 1024
_PICKLES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")


def folder_findings(names: Collection[str]) -> list[str]:
    """What is missing among the file names of an adapter folder."""
    findings = []
    if CONFIG not in names:
        findings.append(f"no {CONFIG}: not a folder that PEFT's save_pretrained() wrote")
    if WEIGHTS not in names:
        pickles = sorted(set(names) & set(_PICKLES))
        if pickles:
            findings.append(
                f"only {pickles[0]}, a pickle, which runs code when it is loaded: save it with "
                f"save_pretrained(…, safe_serialization=True) and upload {WEIGHTS}"
            )
        else:
            findings.append(f"no {WEIGHTS}")
    return findings


def parse_config(raw: bytes) -> dict[str, Any]:
    """The adapter's config. Raises :class:`BadInput` where it is no JSON object."""
    if len(raw) > MAX_CONFIG:
        raise BadInput(CONFIG, f"{len(raw)} bytes; at most {MAX_CONFIG} are read")
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise BadInput(CONFIG, f"no JSON: {e}") from None
    if not isinstance(value, dict):
        raise BadInput(CONFIG, f"a JSON object was expected, not {type(value).__name__}")
    return value


def base_of(config: Mapping[str, Any]) -> str | None:
    """The base model that the config names, canonical; None where it names none, or only a folder of the trainer's machine."""
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name.strip() or is_local(name):
        return None
    return canonical(name)


def ranks(config: Mapping[str, Any]) -> set[int]:
    """Every rank that a layer may have: ``r`` and the values of ``rank_pattern``; empty where none is a positive integer."""
    pattern = config.get("rank_pattern")
    values = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else ())]
    return {v for v in values if is_count(v)}


def is_count(value: Any) -> TypeGuard[int]:
    """A positive integer, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def with_base(config: Mapping[str, Any], base_model: str) -> bytes:
    """The config as it is uploaded where it named no base: the same with ``base_model``, as PEFT writes it."""
    return (json.dumps({**config, "base_model_name_or_path": base_model}, indent=2, sort_keys=True) + "\n").encode()
