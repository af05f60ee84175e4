"""The header of a GGUF file: what the model is, and whether the file is whole.

Read here and not by ``gguf.GGUFReader``, which takes six seconds over the tokenizer of a 100 MB model. Format: ggml-org/ggml
``docs/gguf.md``, version 3 (and 2, which differs in nothing that is read here). Nothing in the file is believed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

MAX_COUNT = 2**24
MAX_STRING = 2**24

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_KEPT_ARRAY = 64
"""Arrays longer than this (a tokenizer's) are skipped."""


class NotWhole(ValueError):
    """The file is no GGUF, or damaged; the text says how."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself. A tensor's shape is as ggml has it: inputs first, outputs second."""

    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """llama.cpp's word for the model family (``llama``, ``qwen2``); empty where the file has none."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def kind(self) -> str:
        """``model``, ``adapter`` …; models of older converters do not say."""
        return str(self.metadata.get("general.type", "model"))

    def number(self, key: str) -> int | None:
        """An integer below the architecture's prefix: ``number("attention.head_count")``."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_header(path: Path) -> Header:
    """Read and check ``path``. Raises :class:`NotWhole`; OSError where it cannot be read."""
    with path.open("rb") as f:
        reader = _Reader(f, path.stat().st_size)
        return reader.header()


class _Reader:
    def __init__(self, file: BinaryIO, size: int):
        self._file = file
        self._size = size

    def header(self) -> Header:
        magic = self._file.read(4)
        if magic != b"GGUF":
            raise NotWhole(_foreign(magic))
        version = self._scalar("<I")
        if version not in (2, 3):
            raise NotWhole(f"GGUF version {version} is not known (2 and 3 are); a big-endian file?")
        tensors, pairs = self._count(), self._count()
        metadata = {}
        for _ in range(pairs):
            key = self._string()
            metadata[key] = self._value(self._scalar("<I"))
        infos = [self._tensor() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise NotWhole(f"alignment {alignment!r} is no size")
        start = -(-self._file.tell() // alignment) * alignment
        for name, shape, kind, offset in infos:
            end = start + offset + _bytes(name, shape, kind)
            if end > self._size:
                raise NotWhole(f"truncated: tensor {name!r} ends at byte {end:,}, the file at {self._size:,}; fetch it again")
        return Header(metadata, {name: shape for name, shape, _, _ in infos})

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        dimensions = self._scalar("<I")
        if dimensions > 8:
            raise NotWhole(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._scalar("<Q") for _ in range(dimensions))
        return name, shape, self._scalar("<I"), self._scalar("<Q")

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            raise NotWhole(f"unknown value type {kind}")
        inner, count = self._scalar("<I"), self._count()
        if inner in _SCALARS and count > _KEPT_ARRAY:
            self._skip(struct.calcsize(_SCALARS[inner]) * count)
            return None
        if count <= _KEPT_ARRAY:
            return [self._value(inner) for _ in range(count)]
        for _ in range(count):
            self._skip(self._length()) if inner == _STRING else self._value(inner)
        return None

    def _scalar(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _string(self) -> str:
        return self._read(self._length()).decode("utf-8", "replace")

    def _length(self) -> int:
        length: int = self._scalar("<Q")
        if length > MAX_STRING:
            raise NotWhole(f"a string of {length} bytes was announced")
        return length

    def _count(self) -> int:
        count: int = self._scalar("<Q")
        if count > MAX_COUNT:
            raise NotWhole(f"{count} entries were announced")
        return count

    def _read(self, n: int) -> bytes:
        data = self._file.read(n)
        if len(data) < n:
            raise NotWhole("truncated within its header; fetch it again")
        return data

    def _skip(self, n: int) -> None:
        if self._file.seek(n, 1) > self._size:
            raise NotWhole("truncated within its header; fetch it again")


def _bytes(name: str, shape: tuple[int, ...], kind: int) -> int:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        raise NotWhole(f"tensor {name!r} has the unknown type {kind}") from None
    return math.prod(shape) // block * size


def _foreign(magic: bytes) -> str:
    if not magic:
        return "the file is empty"
    if magic == b"vers":
        return "a Git LFS pointer, not the model itself; fetch it with git lfs pull"
    return f"no GGUF file: it starts with {magic!r}"
