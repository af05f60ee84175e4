"""Options of an adapter that model servers refuse, or take and silently answer wrong with.

From vLLM 0.33.0 ``lora/peft_helper.py`` (``_validate_features``, ``validate_legal``, ``from_dict``). vLLM 0.10, KubeAI's default
image, lacks most of these refusals and drops unknown keys, so they are refused here whatever the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_llmserve.adapters.peft import is_count, ranks

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM's ``--max-lora-rank`` takes (``config/lora.py``)."""
VLLM_DEFAULT_RANK = 16
_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")

_UNSET: Mapping[str, str] = {
    "use_dora": "vLLM has no DoRA; train with use_dora=False",
    "lora_bias": "biases of LoRA layers are not served; train with lora_bias=False",
    "modules_to_save": "fully trained modules are not served; train without modules_to_save (and resized embeddings)",
    "layer_replication": "the base would need replicated layers",
    "alora_invocation_tokens": "activated LoRA is not served",
    "use_qalora": "QA-LoRA is not served",
    "use_bdlora": "block-diagonal LoRA is not served",
    "trainable_token_indices": "trained token embeddings are not served; train without trainable_token_indices",
    "target_parameters": "adapters on bare parameters are not served; use target_modules",
    "arrow_config": "a router over several adapters is not one adapter",
    "kasa_config": "KaSA's singular values are not served",
}


def option_errors(config: Mapping[str, Any]) -> list[str]:
    """Options that make the adapter unservable."""
    findings = []
    if config.get("peft_type") != "LORA":
        findings.append(f"peft_type is {config.get('peft_type')!r}; only 'LORA' is served")
    for field in ("r", "lora_alpha", "target_modules"):
        if not config.get(field):
            findings.append(f"{field} is missing or empty")
    if config.get("r") and not is_count(config["r"]):
        findings.append(f"r is {config['r']!r}; a positive integer was expected")
    alpha = config.get("lora_alpha")
    if alpha and (not isinstance(alpha, (int, float)) or isinstance(alpha, bool) or alpha <= 0):
        findings.append(f"lora_alpha is {alpha!r}; a positive number was expected")
    pattern = config.get("rank_pattern") or {}
    if not isinstance(pattern, Mapping) or not all(is_count(v) for v in pattern.values()):
        findings.append(f"rank_pattern is {pattern!r}; positive integers were expected")
    if config.get("bias", "none") != "none":
        findings.append(f"bias is {config['bias']!r}: trained biases are not served; train with bias='none'")
    findings += [f"{field} is set: {why}" for field, why in _UNSET.items() if config.get(field)]
    init = config.get("init_lora_weights", True)
    if not (init is None or isinstance(init, bool) or init in _INITS):
        findings.append(
            f"init_lora_weights is {init!r}, which changes the base's own weights: save with "
            "path_initial_model_for_weight_conversion, which makes a plain LoRA of it"
        )
    return findings


def rank_errors(config: Mapping[str, Any], max_rank: int | None) -> list[str]:
    """A rank above ``max_rank``, the server's ``--max-lora-rank``, or above any that vLLM takes."""
    rank = max(ranks(config), default=0)
    if max_rank is not None and rank > max_rank:
        return [f"rank {rank} is above the server's {max_rank}{_remedy(rank)}"]
    return [f"rank {rank} is above {VLLM_RANKS[-1]}, the most that vLLM serves"] if rank > VLLM_RANKS[-1] else []


def option_warnings(config: Mapping[str, Any], max_rank: int | None) -> list[str]:
    """What only some servers take."""
    findings = []
    rank = max(ranks(config), default=0)
    if max_rank is None and rank > VLLM_DEFAULT_RANK:
        findings.append(f"rank {rank} is above vLLM's default of {VLLM_DEFAULT_RANK}{_remedy(rank)}")
    for field in ("rank_pattern", "alpha_pattern"):
        if config.get(field):
            findings.append(f"{field} is ignored by older vLLM (0.10, KubeAI's default image), which then scales layers wrongly")
    return findings


def _remedy(rank: int) -> str:
    fitting = next((r for r in VLLM_RANKS if r >= rank), None)
    return f"; serve with args ['--max-lora-rank={fitting}']" if fitting else ""
