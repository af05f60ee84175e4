"""The marker of a complete upload, and the digest that names its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_llmserve.owner import digest as digest_of

MARKER = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, order=True)
class Entry:
    """One uploaded file: its name in the folder, its size in bytes, its SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What lies in one folder. Holds nothing of the run that made it, so that the same adapter gives the same bytes."""

    files: tuple[Entry, ...]
    base_model: str
    rank: int

    @classmethod
    def of(cls, files: Iterable[Entry], base_model: str, rank: int) -> Manifest:
        """The manifest of these files, in any order."""
        return cls(tuple(sorted(files)), base_model, rank)

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the canonical JSON of the sorted ``[path, size, sha256]``."""
        return digest_of([[f.path, f.size, f.sha256] for f in self.files])

    @property
    def size(self) -> int:
        """Bytes of all files, the marker not counted."""
        return sum(f.size for f in self.files)

    def to_bytes(self) -> bytes:
        """The marker's contents."""
        value = {
            "format": FORMAT,
            "digest": self.digest,
            "base_model": self.base_model,
            "rank": self.rank,
            "files": [asdict(f) for f in self.files],
        }
        return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def files_in(marker: bytes) -> tuple[Entry, ...] | None:
    """The files that a marker lists, or None where it is none of ours (a half-written one, another tool's)."""
    try:
        value: Any = json.loads(marker)
        entries = [Entry(str(f["path"]), int(f["size"]), str(f["sha256"])) for f in value["files"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return tuple(sorted(entries)) if isinstance(value, Mapping) else None


def folder(stem: str, digest: str) -> str:
    """Where a version lies under the destination; one digest's folder is never written with two contents."""
    return f"{stem}/sha256-{digest}"
