"""PEFT adapter → GGUF, as llama.cpp loads it.

Verified against transformers with peft on an F16 copy of SmolLM2-135M-Instruct: same greedy texts, log-probabilities within
0.012. Rows of q's and k's ``lora_B`` are permuted as llama.cpp permutes those matrices of the Llama family
(convert_hf_to_gguf.py, ``LlamaModel.permute``). The scale is folded into ``lora_B`` and alpha written as 0, which llama.cpp reads
as 1: one rule for plain, rank-stabilised and patterned adapters.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.adapters.safetensors import PREFIX, Tensor, header_length, parse_header
from airflow_provider_llmserve.adapters.tensors import Pair, listed, pairs
from airflow_provider_llmserve.platforms.local.gguf_file import Header

if TYPE_CHECKING:
    import numpy as np

ARCHITECTURES = ("llama",)
"""Base architectures whose tensor names and permutation are known here."""

_MODULES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_MODULE = re.compile(r"^(?:model\.)?(?:layers)\.(\d+)\.(\w+\.\w+)$")


def gguf_name(module: str) -> str | None:
    """llama.cpp's name of a base matrix: ``model.layers.3.self_attn.q_proj`` → ``blk.3.attn_q.weight``;
    None where it has none."""
    found = _MODULE.match(module)
    if found is None or found[2] not in _MODULES:
        return None
    return f"blk.{found[1]}.{_MODULES[found[2]]}.weight"


def misfits(tensors: Sequence[Tensor], base: Header) -> list[str]:
    """What makes an adapter unfit for the base model in the GGUF file: modules it lacks, matrices of other sizes."""
    if base.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        return [
            f"adapters on a GGUF of architecture {base.architecture!r} cannot be converted yet (known: {known}); give a GGUF adapter"
        ]
    unknown, absent, unfit = [], [], []
    for pair in pairs(tensors):
        name = gguf_name(pair.module)
        if name is None:
            unknown.append(pair.module)
        elif name not in base.shapes:
            absent.append(pair.module)
        elif base.shapes[name] != (found := (pair.a.shape[1], pair.b.shape[0])):
            unfit.append(
                f"{pair.module} is {found[0]} to {found[1]}, the base's {base.shapes[name][0]} to {base.shapes[name][1]}"
            )
    return [
        f"{what}: {listed(names)}"
        for what, names in (
            ("modules that llama.cpp cannot adapt", unknown),
            ("modules that this base model does not have, trained on another base?", absent),
            ("sizes of another base model", unfit),
        )
        if names
    ]


def scale_of(config: Mapping[str, Any], module: str, rank: int) -> float:
    """``alpha / rank`` of one module, patterns and rank stabilisation included (peft 0.21 ``LoraLayer.update_layer``)."""
    alpha = float(_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha") or rank))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _pattern(pattern: Any, module: str, default: float) -> float:
    """peft's lookup (``get_pattern_key``): the first key that is the module's name or a regular expression for its end."""
    if isinstance(pattern, Mapping):
        for key, value in pattern.items():
            if re.match(rf"(.*\.)?({key})$", module):
                return float(value)
    return default


def permuted(b: np.ndarray, heads: int) -> np.ndarray:
    """``lora_B`` of q or k with its rows in llama.cpp's order: each head's two rotary halves interleaved."""
    rows, rank = b.shape
    ordered: np.ndarray = b.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)
    return ordered


def read_tensors(path: Path) -> tuple[bytes, list[Tensor]]:
    """A safetensors file and its tensors. Raises :class:`BadInput` where it is damaged."""
    raw = path.read_bytes()
    length = header_length(raw[:PREFIX], len(raw))
    return raw, parse_header(raw[PREFIX : PREFIX + length], len(raw))


def values(raw: bytes, tensor: Tensor) -> np.ndarray:
    """A tensor's numbers as float32."""
    import numpy as np

    data = raw[tensor.begin : tensor.end]
    if tensor.dtype == "BF16":
        numbers = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(data, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[tensor.dtype]).astype("<f4")
    return numbers.reshape(tensor.shape)


def convert(raw: bytes, tensors: Sequence[Tensor], config: Mapping[str, Any], base: Header, out: Path) -> None:
    """Write the adapter as GGUF. Call :func:`misfits` first: it is assumed to fit."""
    import gguf

    logging.getLogger("gguf.gguf_writer").setLevel(logging.WARNING)  # it tells of every file
    writer = gguf.GGUFWriter(out, base.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    for pair in pairs(tensors):
        a, b = _converted(raw, pair, config, base)
        name = gguf_name(pair.module)
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _converted(raw: bytes, pair: Pair, config: Mapping[str, Any], base: Header) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    a, b = values(raw, pair.a), values(raw, pair.b) * np.float32(scale_of(config, pair.module, pair.a.shape[0]))
    heads = base.number("attention.head_count") or 1
    if pair.module.endswith("q_proj"):
        b = permuted(b, heads)
    elif pair.module.endswith("k_proj"):
        b = permuted(b, base.number("attention.head_count_kv") or heads)
    return np.ascontiguousarray(a), np.ascontiguousarray(b, dtype=np.float32)
