"""PEFT adapters made by hand: no torch, exact bytes, and easy to break in one place."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
HIDDEN, KEYS = 576, 192
"""SmolLM2-135M's hidden size, and the outputs of its v_proj."""
PREFIX = "base_model.model.model.layers"

CONFIG: dict[str, Any] = {
    "base_model_name_or_path": BASE,
    "bias": "none",
    "init_lora_weights": True,
    "lora_alpha": 16,
    "lora_bias": False,
    "modules_to_save": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "r": 4,
    "rank_pattern": {},
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
    "use_dora": False,
    "use_rslora": False,
}
"""What PEFT 0.21.2 writes, as far as anybody reads it."""

BASE_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 30,
    "vocab_size": 49152,
}

Tensors = dict[str, tuple[str, Sequence[int], bytes]]


def lora_tensors(rank: int = 4, layers: int = 2, value: float = 0.01) -> Tensors:
    """q_proj and v_proj of the first layers, all weights ``value``."""
    tensors: Tensors = {}
    for layer in range(layers):
        for module, outputs in (("q_proj", HIDDEN), ("v_proj", KEYS)):
            name = f"{PREFIX}.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.weight"] = f32((rank, HIDDEN), value)
            tensors[f"{name}.lora_B.weight"] = f32((outputs, rank), value)
    return tensors


def f32(shape: Sequence[int], value: float) -> tuple[str, Sequence[int], bytes]:
    count = 1
    for n in shape:
        count *= n
    return "F32", shape, struct.pack("<f", value) * count


def safetensors(tensors: Mapping[str, tuple[str, Sequence[int], bytes]]) -> bytes:
    """A safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def make_adapter(
    folder: Path, *, config: Mapping[str, Any] | None = None, tensors: Tensors | None = None, value: float = 0.01
) -> Path:
    """Write an adapter folder as a trainer leaves it, stray files included. ``config`` is laid over :data:`CONFIG`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **(config or {})}, indent=2))
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors or lora_tensors(value=value)))
    (folder / "README.md").write_text("---\nbase_model: /home/somebody/model\n---\n")
    (folder / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (folder / "checkpoint-40").mkdir(exist_ok=True)
    return folder
