"""The tensors of an adapter: named and paired as servers look them up (vLLM 0.33.0
``lora/utils.py:parse_fine_tuned_lora_name``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_llmserve.adapters.peft import ranks
from airflow_provider_llmserve.adapters.safetensors import Tensor
from airflow_provider_llmserve.adapters.values import WIDTH

_PREFIX = "base_model.model."
_ENDS: Mapping[str, Literal["A", "B"]] = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
}
_WRAPPERS = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
}


@dataclass(frozen=True)
class Part:
    """One half of a layer's pair; ``module`` is the base's module path (``model.layers.0.self_attn.q_proj``)."""

    module: str
    half: Literal["A", "B"]
    tensor: Tensor


@dataclass(frozen=True)
class Pair:
    """A layer's pair: A is (rank, inputs), B is (outputs, rank)."""

    module: str
    a: Tensor
    b: Tensor


def part_of(tensor: Tensor) -> Part | None:
    """What ``tensor`` is, by its name; None where no server knows it."""
    for end, half in _ENDS.items():
        if tensor.name.endswith(end):
            return Part(tensor.name.removesuffix(end).removeprefix(_PREFIX), half, tensor)
    return None


def pairs(tensors: Iterable[Tensor]) -> list[Pair]:
    """Complete pairs of two matrices, by module; the others are :func:`tensor_errors`' matter."""
    a: dict[str, Tensor] = {}
    b: dict[str, Tensor] = {}
    for part in map(part_of, tensors):
        if part is not None and len(part.tensor.shape) == 2:
            (a if part.half == "A" else b)[part.module] = part.tensor
    return [Pair(m, a[m], b[m]) for m in a if m in b]


def tensor_errors(tensors: Collection[Tensor], config: Mapping[str, Any]) -> list[str]:
    """Tensors that no server loads, halves without the other, ranks that are not the config's."""
    findings = []
    halves: dict[str, set[str]] = {}
    wrong_dtype, unknown, not_matrix = [], [], []
    for tensor in tensors:
        part = part_of(tensor)
        if part is None:
            unknown.append(tensor.name)
            continue
        halves.setdefault(part.module, set()).add(part.half)
        if tensor.dtype not in WIDTH:
            wrong_dtype.append(f"{tensor.name} ({tensor.dtype})")
        if len(tensor.shape) != 2 or 0 in tensor.shape:
            not_matrix.append(f"{tensor.name} {list(tensor.shape)}")
    if not tensors:
        findings.append("the file holds no tensors: nothing was trained")
    for what, names in (
        (f"tensors that are no LoRA pair's, which servers refuse{_whole_modules(unknown)}", unknown),
        (f"dtype other than {', '.join(WIDTH)}", wrong_dtype),
        ("not a matrix (were the shards of ZeRO-3 or FSDP gathered before saving?)", not_matrix),
        ("lora_A without lora_B or the reverse", [m for m, h in halves.items() if len(h) == 1]),
        ("rank differs from the config's", list(_wrong_ranks(tensors, ranks(config)))),
        ("not among target_modules", _outside(halves, config.get("target_modules"))),
    ):
        if names:
            findings.append(f"{what}: {listed(names)}")
    return findings + _wrapped(halves)


def target_warnings(tensors: Iterable[Tensor], config: Mapping[str, Any]) -> list[str]:
    """Targets that nothing was trained for, and modules that few servers adapt."""
    targets = config.get("target_modules")
    modules = {p.module for p in map(part_of, tensors) if p is not None}
    findings = []
    if isinstance(targets, list):
        idle = sorted(t for t in targets if isinstance(t, str) and not any(_hits(m, t) for m in modules))
        if idle:
            findings.append(f"target_modules without a tensor: {listed(idle)}")
    vocabulary = sorted(m for m in modules if m.rpartition(".")[2] in ("embed_tokens", "lm_head"))
    if vocabulary:
        findings.append(f"adapts {listed(vocabulary)}, which not every server and engine can; test it before relying on it")
    return findings


def listed(names: Collection[str], limit: int = 3) -> str:
    """The first few of ``names``, and how many more there are."""
    some = sorted(names)[:limit]
    more = len(names) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")


def _wrong_ranks(tensors: Collection[Tensor], allowed: set[int]) -> Iterable[str]:
    # rank_pattern's keys are regular expressions from the file; they are not run here, so any of its ranks passes.
    for pair in pairs(tensors):
        rank = pair.a.shape[0]
        if pair.b.shape[1] != rank:
            yield f"{pair.module} (lora_A {rank}, lora_B {pair.b.shape[1]})"
        elif allowed and rank not in allowed:
            yield f"{pair.module} ({rank}, config {sorted(allowed)})"


def _outside(modules: Iterable[str], targets: Any) -> list[str]:
    if not isinstance(targets, list) or not targets:
        return []  # a string is a regular expression, which is not run either
    return [m for m in modules if not any(_hits(m, t) for t in targets if isinstance(t, str))]


def _whole_modules(unknown: Collection[str]) -> str:
    if any(n.endswith(("embed_tokens.weight", "lm_head.weight", "base_layer.weight")) for n in unknown):
        return " (PEFT adds whole embeddings by itself: save_pretrained(…, save_embedding_layers=False))"
    return ""


def _hits(module: str, target: str) -> bool:
    return module == target or module.endswith("." + target)


def _wrapped(modules: Iterable[str]) -> list[str]:
    seen = {part for m in modules for part in m.split(".")}
    return [
        f"module names contain {w!r} of {by}: servers load such an adapter and it has no effect; unwrap the model before saving"
        for w, by in _WRAPPERS.items()
        if w in seen
    ]
