"""Train a small text classifier from nothing, on this machine's CPU: tokenizer, two BERT layers and a head, in seconds.

No hub and no base model are needed. It learns the words of its own data set and nothing else; it is an example, not advice.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Row = dict[str, str]

LENGTH = 64
"""Tokens of the longest text."""


def train_classifier(
    rows: Sequence[Row], labels: Sequence[str], output: Path, *, epochs: int = 8, seed: int = 7
) -> dict[str, Any]:
    """Train on ``rows`` of ``{"prompt", "expected"}`` and write a transformers folder to ``output``.

    ``labels`` are the classes in the order of their numbers. Returns the folder's path and the loss before and after.
    """
    # Before torch is imported: libgomp's threads spin at barriers, and collapse with more threads than free cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = train_tokenizer([row["prompt"] for row in rows])
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
        )
    )
    inputs = tokenizer([row["prompt"] for row in rows], padding=True, truncation=True, return_tensors="pt")
    inputs["labels"] = torch.tensor([labels.index(row["expected"]) for row in rows])
    before = _loss(model, inputs)
    log.info("training on %d rows, %d epochs; loss before %.3f", len(rows), epochs, before)

    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for epoch in range(epochs):
        for batch in torch.randperm(len(rows)).split(16):
            loss = model(**{name: tensor[batch] for name, tensor in inputs.items()}).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        log.info("epoch %d of %d: loss %.3f", epoch + 1, epochs, loss.item())
    after = _loss(model, inputs)

    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    log.info("model written to %s; loss after %.3f", output, after)
    return {"path": str(output), "loss_before": round(before, 4), "loss_after": round(after, 4)}


def train_tokenizer(texts: Sequence[str]) -> Any:
    """A lower-casing WordPiece tokenizer, as BERT's, of the words in ``texts``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1000, special_tokens=list(special.values()), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, **special)


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _loss(model: Any, inputs: Any) -> float:
    import torch

    model.eval()
    with torch.no_grad():
        return float(model(**inputs).loss)
