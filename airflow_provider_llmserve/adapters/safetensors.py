"""The header of a safetensors file, read without torch and believed in nothing.

Format: 8 bytes little-endian header length, that many bytes of JSON, then the tensors' bytes, with no gap and nothing after
(safetensors crate: HeaderTooLarge, InvalidHeaderStart, InvalidOffset, MetadataIncompleteBuffer).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from airflow_provider_llmserve.errors import BadInput

PREFIX = 8
"""Bytes of the length field."""
MAX_HEADER = 32 * 1024 * 1024
"""Largest header read, in bytes. The format allows 100 MB; a LoRA of 100,000 tensors needs about 16."""
DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
MAX_DIMENSIONS = 8
MAX_SIZE = 2**48
"""Largest dimension believed; keeps products small before they are compared with the file's size."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file. ``begin`` and ``end`` count bytes from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_length(prefix: bytes, file_size: int) -> int:
    """Length in bytes of the header of a file that starts with ``prefix``. Raises :class:`BadInput` where it cannot be one."""
    if file_size < PREFIX + 2 or len(prefix) < PREFIX:
        raise _bad(f"{file_size} bytes are too few for a safetensors file; was the upload or the training cut off?")
    length = int.from_bytes(prefix[:PREFIX], "little")
    if not 2 <= length <= MAX_HEADER:
        raise _bad(f"no safetensors file: a header of {length} bytes was announced (allowed: 2 to {MAX_HEADER})")
    if PREFIX + length > file_size:
        raise _bad(f"truncated: the header alone needs {PREFIX + length} bytes, the file has {file_size}")
    return length


def parse_header(raw: bytes, file_size: int) -> list[Tensor]:
    """The tensors that header ``raw`` (without its length field) describes, in file order.

    Raises :class:`BadInput` unless every tensor has the size of its shape, and all of them fill the file with no gap or overlap.
    """
    if raw[:1] != b"{":
        raise _bad("the header does not start with '{'")
    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as e:
        raise _bad(f"the header is no JSON: {e}") from None
    entries.pop("__metadata__", None)
    start = PREFIX + len(raw)
    tensors = sorted((_tensor(name, entry, start) for name, entry in entries.items()), key=lambda t: (t.begin, t.end))
    position = start
    for tensor in tensors:
        if tensor.begin != position:
            raise _bad(f"tensor {tensor.name!r} starts at byte {tensor.begin}, expected {position}: a gap or an overlap")
        position = tensor.end
    if position != file_size:
        what = "truncated" if position > file_size else "bytes after the last tensor"
        raise _bad(f"{what}: the tensors end at byte {position}, the file at {file_size}")
    return tensors


def _tensor(name: str, entry: Any, start: int) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _bad(f"tensor {name!r} lacks dtype, shape or two data_offsets") from None
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise _bad(f"tensor {name!r} has the unknown dtype {dtype!r}")
    if len(shape) > MAX_DIMENSIONS or not all(_natural(n) for n in (*shape, begin, end)):
        raise _bad(f"tensor {name!r} has a shape or offsets that are no sizes")
    expected = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - begin != expected:
        raise _bad(f"tensor {name!r} of {dtype} {list(shape)} needs {expected} bytes, its offsets span {end - begin}")
    return Tensor(name, dtype, shape, start + begin, start + end)


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIZE


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands there twice")
    return result


def _bad(finding: str) -> BadInput:
    return BadInput("adapter_model.safetensors", finding)
