"""Requests and answers of huggingfaceserver's encoder models, as pure functions.

Shapes, statuses and words are those recorded from huggingfaceserver 0.20.0 (``tests/pure/cases/oip.json``): most mistakes of a
client are 500 there, and so they are here. Not spoken: binary tensors, model versions, ``:explain``.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DATATYPES = frozenset(
    {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"}
)
JSON = "application/json"

_NO_TEXT = "ValueError : text input must be of type `str` (single example), `list[str]` (batch or single pretokenized example)"
_NO_JSON = "ValueError : You need to specify either `text` or `text_target`."


@dataclass(frozen=True)
class Inferred:
    """What a model says to a batch of texts.

    ``predictions`` has one item a text: a number, a string, scores by class, or lists of these. ``offsets`` are each token's
    first and one-past-last character, where they were asked for. ``tokens`` counts the tokens that were read, padding apart.
    """

    predictions: list[Any]
    tokens: int
    offsets: list[list[list[int]]] | None = None


class Refused(Exception):
    """The answer is an error: ``status`` with ``body``."""

    def __init__(self, status: int, body: Mapping[str, Any]):
        super().__init__(str(body))
        self.status = status
        self.body = body


def error(status: int, words: str) -> Refused:
    """A refusal in the words of the v1 and v2 protocols."""
    return Refused(status, {"error": words})


def openai_error(status: int, words: str) -> Refused:
    """A refusal as huggingfaceserver's OpenAI routes word it."""
    kind = "BadRequestError" if status == 400 else "OpenAIError"
    return Refused(status, {"error": {"code": str(status), "message": words, "param": "", "type": kind}})


# v1


def read_v1(raw: bytes, content_type: str | None) -> list[str]:
    """The texts of ``POST /v1/models/<name>:predict``. Raises :class:`Refused`."""
    if content_type not in (None, JSON):  # a charset behind it is enough
        raise error(500, _NO_JSON)
    try:
        body = json.loads(raw)
    except ValueError as e:
        raise error(400, f"Unrecognized request format: {e}") from None
    if not isinstance(body, dict):
        raise error(500, _NO_JSON)
    for key in ("inputs", "instances"):
        if key in body:
            return _texts(body[key])
    raise error(500, "KeyError : 'instances'")


def write_v1(found: Inferred) -> dict[str, Any]:
    """The answer to ``POST /v1/models/<name>:predict``."""
    answer: dict[str, Any] = {"predictions": found.predictions}
    if found.offsets is not None:
        answer["outputs"] = [_tensor("offset_mapping", found.offsets)]
    return answer


# v2, the Open Inference Protocol


@dataclass(frozen=True)
class InferRequest:
    """``outputs`` are the names asked for; empty: all of them."""

    texts: list[str]
    id: str | None = None
    outputs: tuple[str, ...] = ()


def read_v2(raw: bytes, content_type: str | None) -> InferRequest:
    """The request of ``POST /v2/models/<name>/infer``. Raises :class:`Refused`."""
    if (content_type or "").partition(";")[0].strip() != JSON:
        raise error(400, "received byte inputs, but the'inference-header-content-length' header is missing.")
    if not raw:
        raise _invalid(["body"], "Field required", None)
    try:
        body = json.loads(raw)
    except ValueError as e:
        raise _invalid(["body", getattr(e, "pos", 0)], "JSON decode error", {}, "json_invalid") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise _invalid(["body", "InferenceRequest", "inputs"], "Field required", body)
    for i, one in enumerate(body["inputs"]):
        for key in ("name", "shape", "datatype", "data"):
            if not isinstance(one, dict) or key not in one:
                raise _invalid(["body", "InferenceRequest", "inputs", i, key], "Field required", one)
    if not body["inputs"]:
        raise error(500, "IndexError : list index out of range")
    first = body["inputs"][0]  # the others are not looked at, nor is the shape
    datatype = str(first["datatype"]).upper()
    if datatype not in DATATYPES:
        raise error(400, "invalid datatype None in the input")
    if datatype != "BYTES" or not isinstance(first["data"], list):
        raise error(500, _NO_TEXT)
    outputs = body.get("outputs") or ()
    names = tuple(str(one.get("name")) if isinstance(one, dict) else str(one) for one in outputs)
    asked_id = body.get("id")
    return InferRequest(_texts(first["data"]), id=asked_id if isinstance(asked_id, str) else None, outputs=names)


def write_v2(found: Inferred, *, model: str, id: str, outputs: Sequence[str] = ()) -> dict[str, Any]:
    """The answer of the Open Inference Protocol. Raises :class:`Refused` for an unknown output or rows of unequal length."""
    tensors = [_tensor("output-0", found.predictions)]
    if found.offsets is not None:
        tensors.append(_tensor("offset_mapping", found.offsets))
    unknown = [name for name in outputs if name not in {one["name"] for one in tensors}]
    if unknown:
        raise error(400, f"Unexpected inference output {unknown[0]!r} for model {model!r}")
    wanted = [{**one, "parameters": None} for one in tensors if not outputs or one["name"] in outputs]
    return {"model_name": model, "model_version": None, "id": id, "parameters": None, "outputs": wanted}


# OpenAI's embeddings


def read_embeddings(body: Mapping[str, Any]) -> list[str]:
    """The texts of ``POST /openai/v1/embeddings``. Raises :class:`Refused`."""
    texts = body.get("input")
    if texts is None:
        raise _invalid(["body", "input"], "Field required", dict(body))
    if body.get("encoding_format") not in (None, "float", "base64"):
        words = "Input should be 'float' or 'base64'"
        raise _invalid(["body", "encoding_format"], words, body["encoding_format"], "literal_error")
    try:
        return _texts(texts)
    except Refused:
        raise openai_error(500, f"Error during embedding creation: no text or list of texts: {str(texts)[:80]}") from None


def write_embeddings(found: Inferred, body: Mapping[str, Any], *, id: str, created: int) -> dict[str, Any]:
    """OpenAI's answer; base64 holds little-endian float32, as OpenAI's client reads it."""
    vectors = found.predictions
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() for one in vectors]
    return {
        "id": id,
        "object": "embedding",
        "created": created,
        "model": body.get("model"),
        "data": [{"index": i, "object": "embedding", "embedding": one} for i, one in enumerate(vectors)],
        "usage": {
            "prompt_tokens": found.tokens,
            "total_tokens": found.tokens,
            "completion_tokens": 0,
            "prompt_tokens_details": None,
        },
    }


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise error(500, _NO_TEXT)
    return value


def _invalid(place: list[Any], words: str, seen: Any, kind: str = "missing") -> Refused:
    return Refused(422, {"detail": [{"type": kind, "loc": place, "msg": words, "input": seen}]})


def _tensor(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Nested lists as a flat tensor; scores by class become the text of a Python dict."""
    shape: list[int] = []
    flat: list[Any] = list(values)
    shape.append(len(flat))
    while flat and isinstance(flat[0], list):
        width = len(flat[0])
        if any(len(row) != width for row in flat):
            raise error(
                500, "ValueError : setting an array element with a sequence. The requested array has an inhomogeneous shape"
            )
        shape.append(width)
        flat = [one for row in flat for one in row]
    first = flat[0] if flat else 0
    datatype = "INT64" if isinstance(first, int) else "FP64" if isinstance(first, float) else "BYTES"
    return {"name": name, "shape": shape, "datatype": datatype, "data": [str(x) if isinstance(x, dict) else x for x in flat]}
