"""The Open Inference Protocol (v2) as huggingfaceserver speaks it: requests written, answers read. Pure.

Shapes are those of KServe's huggingfaceserver 0.20 (its ``utils/utils.py``, and what the real server answered:
``tests/pure/cases/oip.json``). With ``--return_probabilities`` or ``--return_raw_logits`` the v2 answer carries each sample's
scores as the text of a Python dict in a BYTES tensor (``"{0: 0.4945, 1: 0.0005}"``); it is read by a grammar of its own
and never evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

TASKS = ("sequence_classification", "token_classification", "fill_mask", "text_embedding")
"""The tasks that this protocol serves; as DigitalHub and KServe name them."""

BATCHED = frozenset({"sequence_classification", "text_embedding"})
"""Tasks whose texts may share a request. Tokens of a batch come padded, and texts with unequal numbers of masks are a 500."""

MAX_CANDIDATES = 10

_PAIR = re.compile(r"(\d{1,9}): '?(-?\d{1,40}(?:\.\d{0,40})?(?:e[+-]?\d{1,4})?)'?", re.ASCII)


@dataclass(frozen=True)
class Classification:
    """A text's class, by its number: the server knows no names (kserve#4443).

    ``scores`` are there where the server was told to return them: probabilities to four places, or raw logits.
    """

    label: int
    scores: Mapping[int, float] | None = None


@dataclass(frozen=True)
class TokenClassification:
    """A class for every token, special tokens included unless the server leaves them out.

    ``offsets`` are each token's first and one-past-last character, (0, 0) for a special token; there only with
    ``--return_offsets_mapping``.
    """

    labels: tuple[int, ...]
    scores: tuple[Mapping[int, float], ...] | None = None
    offsets: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class FilledMask:
    """What stands behind the mask.

    ``text`` has the tokens of all masks in one string, as the server says it. A server that returns scores says no text; then
    ``candidates`` holds each mask's ten best token numbers with their scores.
    """

    text: str | None = None
    candidates: tuple[Mapping[int, float], ...] | None = None


@dataclass(frozen=True)
class Embedding:
    """A text's vector: mean-pooled, of length one."""

    vector: tuple[float, ...]


Prediction = Classification | TokenClassification | FilledMask | Embedding


def infer_request(texts: Sequence[str]) -> dict[str, Any]:
    """The body of ``POST /v2/models/<name>/infer``."""
    return {"inputs": [{"name": "input-0", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}]}


def read_predictions(task: str, body: Any, count: int) -> list[Prediction]:
    """One prediction a text. Raises :class:`ValueError` saying what is wrong with the answer."""
    outputs = _outputs(body)
    if not outputs:
        raise ValueError("no outputs")
    first = next(iter(outputs.values()))
    if count < 1 or not first.shape or first.shape[0] != count:
        raise ValueError(f"{count} texts were sent, the answer has shape {list(first.shape)}")
    if task == "sequence_classification":
        classes = first.classes()
        if len(classes) != count:  # a shape of more than one dimension
            raise ValueError(f"{count} texts were sent, {len(classes)} classes came back")
        return [Classification(int(best), scores) for best, scores in classes]
    if task == "token_classification":
        return list(_tokens(first, outputs.get("offset_mapping"), count))
    if task == "fill_mask":
        return list(_filled(first, count))
    if task == "text_embedding":
        return [Embedding(tuple(row)) for row in first.numbers(count)]
    raise ValueError(f"no such task: {task}")


def as_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction for XCom: what is None is left out, class numbers become text as in any JSON object."""
    return {name: _plain(value) for name, value in asdict(prediction).items() if value is not None}


def read_scores(text: Any) -> dict[int, float]:
    """``"{0: 0.4945, 1: 0.0005}"`` or ``"{0: '0.4945'}"``, a Python dict's text, without evaluating it.

    Raises :class:`ValueError` for anything else, ``nan`` and ``inf`` among it: the scores of a model gone wrong.
    """
    if not isinstance(text, str) or not (text.startswith("{") and text.endswith("}")):
        raise ValueError(f"no scores: {str(text)[:80]!r}")
    scores: dict[int, float] = {}
    for pair in text[1:-1].split(", "):
        match = _PAIR.fullmatch(pair)
        if match is None:
            raise ValueError(f"no score: {pair[:80]!r}")
        scores[int(match[1])] = float(match[2])
    if not all(map(math.isfinite, scores.values())):
        raise ValueError(f"a score out of range: {text[:80]!r}")
    return scores


@dataclass(frozen=True)
class _Tensor:
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]

    def rows(self, count: int) -> list[list[Any]]:
        """The flat data, cut along the first dimension."""
        width = len(self.data) // count
        return [self.data[i * width : (i + 1) * width] for i in range(count)]

    def classes(self) -> list[tuple[int, dict[int, float] | None]]:
        """Each element as (class, scores): a number is a class, a text holds scores."""
        if self.datatype == "BYTES":
            scores = [read_scores(one) for one in self.data]
            return [(max(one, key=one.__getitem__), one) for one in scores]
        return [(one, None) for one in self.integers()]

    def integers(self) -> list[int]:
        if not all(type(one) is int for one in self.data):
            raise ValueError(f"whole numbers are wanted, this is {self.datatype}: {str(self.data)[:80]}")
        return self.data

    def numbers(self, count: int) -> list[list[float]]:
        """The rows as finite numbers."""
        if not all(type(one) in (int, float) and math.isfinite(one) for one in self.data):
            raise ValueError(f"numbers are wanted, this is {self.datatype}: {str(self.data)[:80]}")
        return self.rows(count)


def _outputs(body: Any) -> dict[str, _Tensor]:
    try:
        tensors = {
            str(one["name"]): _Tensor(str(one["datatype"]).upper(), tuple(map(int, one["shape"])), list(one["data"]))
            for one in body["outputs"]
        }
    except (TypeError, KeyError, ValueError, OverflowError) as e:
        raise ValueError(f"no answer of the Open Inference Protocol: {e!r} in {str(body)[:200]}") from None
    for name, tensor in tensors.items():
        if any(size < 0 for size in tensor.shape) or math.prod(tensor.shape) != len(tensor.data):
            raise ValueError(f"{name} has shape {list(tensor.shape)} and {len(tensor.data)} elements")
    return tensors


def _tokens(tensor: _Tensor, offsets: _Tensor | None, count: int) -> list[TokenClassification]:
    classes = tensor.classes()
    width = len(classes) // count
    if offsets is not None and offsets.shape != (count, width, 2):
        raise ValueError(f"offset_mapping has shape {list(offsets.shape)} for {width} tokens")
    spans: list[tuple[tuple[int, int], ...] | None] = [None] * count
    if offsets is not None:
        offsets.integers()
        spans = [tuple(zip(row[::2], row[1::2], strict=True)) for row in offsets.rows(count)]
    found = []
    for i in range(count):
        mine = classes[i * width : (i + 1) * width]
        scores = tuple(one for _, one in mine if one is not None)
        found.append(TokenClassification(tuple(label for label, _ in mine), scores or None, spans[i]))
    return found


def _filled(tensor: _Tensor, count: int) -> list[FilledMask]:
    if len(tensor.shape) == 1:
        return [FilledMask(text=str(one)) for one in tensor.data]
    if len(tensor.shape) != 3:
        raise ValueError(f"a filled mask cannot have shape {list(tensor.shape)}")
    vocabulary = max(1, tensor.shape[2])
    found = []
    for row in tensor.rows(count):
        masks = [row[i : i + vocabulary] for i in range(0, len(row), vocabulary)]
        found.append(FilledMask(candidates=tuple(_best(mask) for mask in masks)))
    return found


def _best(mask: Sequence[Any]) -> dict[int, float]:
    scores = {token: score for one in mask for token, score in read_scores(one).items()}
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:MAX_CANDIDATES])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
