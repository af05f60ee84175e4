"""What the supervisor must not forget: one JSON file, replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from airflow_provider_llmserve.errors import PlatformError
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.runtimes.local import Plan


class PreviousRecord(BaseModel):
    """The last spec that was proven."""

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any]
    stopped: bool = False
    owner: Owner = Owner()


class Record(BaseModel):
    """One run. ``version`` counts its changes; ``proven`` says whether this very version has answered by all its names."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str
    uid: str
    version: int = 1
    spec: dict[str, Any]
    owner: Owner
    stopped: bool = False
    plan: Plan
    proven: bool = False
    previous: PreviousRecord | None = None
    port: int = 0
    """Port of its own listener, for a standalone server; 0 for a run behind the shared gateway."""

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.name)


class Book(BaseModel):
    """All runs, and the gateway's port, which is kept even while nothing runs, so that base URLs stay the same."""

    model_config = ConfigDict(extra="forbid")

    port: int = 0
    runs: list[Record] = []

    @classmethod
    def read(cls, path: Path) -> Book:
        """What the file says; an empty book where there is none."""
        try:
            return cls.model_validate(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return cls()
        except ValueError as e:
            advice = "end the local supervisor and its servers, then remove the file"
            raise PlatformError(f"{path} cannot be read ({e}); {advice}") from None

    def find(self, kind: str, name: str) -> Record | None:
        """The run of that name; an empty ``kind`` takes whichever stands there."""
        return next((r for r in self.runs if r.name == name and kind in ("", r.kind)), None)

    def write(self, path: Path) -> None:
        """Replace the file at one stroke; only its owner may read it."""
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(self.model_dump_json())
            f.flush()
            os.fsync(f.fileno())
        fresh.replace(path)
