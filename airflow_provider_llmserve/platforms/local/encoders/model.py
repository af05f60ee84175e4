"""A model of transformers on the CPU, asked as huggingfaceserver's encoder asks it.

What is done to text and numbers follows kserve/kserve v0.20, python/huggingfaceserver/huggingfaceserver/encoder_model.py.
Imported by the model server process alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 (a process of its own)
import transformers  # noqa: TID253

from airflow_provider_llmserve.oip.wire import BATCHED
from airflow_provider_llmserve.platforms.local.encoders.folder import own_limit
from airflow_provider_llmserve.platforms.local.encoders.wire import Inferred
from airflow_provider_llmserve.platforms.local.plan import EncoderSpec

CHUNK = 32
"""Texts that are computed at once where the task allows it: memory grows with them."""

DEFAULT_LENGTH = 2048
"""Tokens of a text where neither spec nor config says how many, as in huggingfaceserver."""

_CLASSES: Mapping[str, Any] = {
    "sequence_classification": transformers.AutoModelForSequenceClassification,
    "token_classification": transformers.AutoModelForTokenClassification,
    "fill_mask": transformers.AutoModelForMaskedLM,
    "text_embedding": transformers.AutoModel,
}


class Unfit(ValueError):
    """The files load, but not to the model that was asked for."""


class Encoder:
    """A loaded model. Not for several threads at once."""

    def __init__(self, folder: Path, spec: EncoderSpec):
        self._spec = spec
        options: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        dtype = getattr(torch, spec.dtype) if spec.dtype != "auto" else getattr(config, "dtype", None) or torch.float32
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, do_lower_case=spec.lower_case, **options)
        self._model, loading = _CLASSES[spec.task].from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            use_safetensors=None if spec.trust_remote_code else True,
            **options,
        )
        # A pooler is not asked: the vectors are the mean of the last layer.
        missing = sorted(key for key in loading["missing_keys"] if spec.task != "text_embedding" or "pooler" not in key)
        if missing:
            raise Unfit(f"the weights lack {', '.join(missing[:3])} ({len(missing)} in all): its answers would be random")
        if spec.offsets and not self._tokenizer.is_fast:
            raise Unfit("--return_offsets_mapping needs a fast tokenizer (tokenizer.json); this model has none")
        self._model.eval()
        self._pad()
        asked = spec.max_length or own_limit(config.to_dict()) or DEFAULT_LENGTH
        self._max_length = min(asked, self._tokenizer.model_max_length)

    def infer(self, texts: Sequence[str]) -> Inferred:
        """Predictions for ``texts``, in order."""
        step = CHUNK if self._spec.task in BATCHED else len(texts)
        parts = [self._infer(texts[i : i + step]) for i in range(0, len(texts), step)]
        return Inferred(
            predictions=[one for part in parts for one in part.predictions],
            tokens=sum(part.tokens for part in parts),
            offsets=[one for part in parts for one in part.offsets or ()] if self._spec.offsets else None,
        )

    def _infer(self, texts: Sequence[str]) -> Inferred:
        spec = self._spec
        inputs = self._tokenizer(
            list(texts),
            max_length=self._max_length,
            add_special_tokens=spec.special_tokens,
            return_token_type_ids=spec.token_type_ids,
            return_offsets_mapping=spec.offsets,
            return_tensors="pt",
            padding=True,
            truncation=True,
        )
        offsets = inputs.pop("offset_mapping").tolist() if spec.offsets else None
        tokens = int(inputs["attention_mask"].sum())
        with torch.inference_mode():
            out = self._model(**inputs, return_dict=True)
            if spec.task == "text_embedding":
                found = _vectors(out.last_hidden_state, inputs["attention_mask"])
            else:
                found = list(self._predictions(out.logits, inputs["input_ids"]))
        return Inferred(found, tokens, offsets)

    def _predictions(self, logits: torch.Tensor, ids: torch.Tensor) -> Iterator[Any]:
        for row, row_ids in zip(logits, ids, strict=True):
            if self._spec.task == "fill_mask":
                yield self._filled(row[row_ids == self._tokenizer.mask_token_id])
            elif self._spec.task == "token_classification":
                # As the server has it: one more dimension around bare classes, and none around scores.
                yield [self._scores(token) for token in row] if self._spec.scores != "none" else [row.argmax(-1).tolist()]
            else:
                yield self._scores(row) if self._spec.scores != "none" else int(row.argmax())

    def _filled(self, masks: torch.Tensor) -> Any:
        if not len(masks):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")  # the server's own words
        if self._spec.scores == "none":
            return self._tokenizer.decode(masks.argmax(-1))
        if self._spec.scores == "raw_logits":
            return [[{i: x} for i, x in enumerate(mask.tolist())] for mask in masks]
        return [[{i: f"{x:.4f}"} for i, x in enumerate(mask.softmax(-1).tolist())] for mask in masks]

    def _scores(self, logits: torch.Tensor) -> dict[int, float]:
        if self._spec.scores == "raw_logits":
            return dict(enumerate(logits.tolist()))
        return {i: float(f"{x:.4f}") for i, x in enumerate(logits.softmax(-1).tolist())}

    def _pad(self) -> None:
        """A tokenizer without a padding token gets one, or no two texts could share a batch."""
        if not self._tokenizer.pad_token:
            self._tokenizer.add_special_tokens({"pad_token": "[PAD]"})
            self._model.resize_token_embeddings(len(self._tokenizer))
        if self._model.config.pad_token_id is None:
            self._model.config.pad_token_id = self._tokenizer.pad_token_id


def _vectors(hidden: torch.Tensor, mask: torch.Tensor) -> list[list[float]]:
    """The mean over the tokens that are no padding, of length one."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    vectors: list[list[float]] = torch.nn.functional.normalize(mean, dim=1).tolist()
    return vectors
