"""Tiny models of transformers, made here with a seed: no hub, no download."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch: see platforms/local/encoders/server.py
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

WORDS = (  # noqa: SIM905
    "[PAD] [UNK] [CLS] [SEP] [MASK] i love hate this film , it is bad hello world my name anna live in rome berlin the capital of "
    "germany paris france . quick brown fox jumps over lazy dog HELLO World"
).split()

LENGTH = 64


def make(folder: Path, architecture: str, *, seed: int = 1, labels: int = 3, trained: str = "") -> Path:
    """A model of random weights with a word for a token; cased, so that lower-casing shows.

    ``trained`` names another architecture whose weights are saved in its place.
    """
    import torch
    import transformers
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        max_position_embeddings=LENGTH,
        num_labels=labels,
        initializer_range=0.5,
    )
    model: Any = getattr(transformers, trained or architecture)(config)
    model.save_pretrained(folder)
    config.architectures = [architecture]
    config.save_pretrained(folder)
    vocabulary: Any = {word: i for i, word in enumerate(WORDS)}
    tokenizer = transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=False, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return folder
