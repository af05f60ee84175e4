"""What the supervisor must not forget: one JSON file, replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from airflow_provider_llmserve.errors import BadInput, PlatformError
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.local.plan import LocalPlan
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.specs import KINDS, ServeSpec


class PreviousEntry(BaseModel):
    """What a rollback puts back, as :class:`~airflow_provider_llmserve.runtimes.record.Previous` has it."""

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any]
    stopped: bool = False
    owner: Owner = Owner()
    proven: bool = True
    ttl: float | None = None


class Entry(BaseModel):
    """One run. ``version`` counts its changes; ``proven`` says whether this very version has answered by all its names."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str
    uid: str
    version: int = 1
    spec: dict[str, Any]
    owner: Owner
    stopped: bool = False
    plan: LocalPlan
    proven: bool = False
    previous: PreviousEntry | None = None
    port: int = 0
    """Port of its own listener, for a standalone server; 0 for a run behind the shared gateway."""
    applied: str = ""
    """When this version was asked for (ISO 8601, UTC)."""
    ttl: float | None = None
    """Seconds after that it may be swept away."""

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.name)

    @property
    def ownership(self) -> records.Record:
        """As every platform's rules read it (:func:`~airflow_provider_llmserve.runtimes.record.succeed`)."""
        previous = self.previous
        spec = _spec(self.kind, previous.spec) if previous else None
        return records.Record(
            owner=self.owner,
            spec=_spec(self.kind, self.spec),
            stopped=self.stopped,
            proven=self.proven,
            previous=records.Previous(spec, previous.stopped, previous.owner, previous.proven, previous.ttl)
            if previous and spec
            else None,
            applied=self.applied,
            ttl=self.ttl,
        )

    def after(self, replaced: Entry | None) -> Entry:
        """This new version, with what a rollback puts back of the one that it replaces."""
        mine, old = self.ownership, replaced.ownership if replaced else None
        if mine.spec is None:
            return self
        made = records.succeed(old, mine.owner, mine.spec, mine.stopped, mine.ttl)
        p = made.previous
        kept = PreviousEntry(spec=p.spec.to_json(), stopped=p.stopped, owner=p.owner, proven=p.proven, ttl=p.ttl) if p else None
        return self.model_copy(update={"proven": made.proven, "previous": kept})


def _spec(kind: str, value: dict[str, Any]) -> ServeSpec | None:
    """The spec; None for one that another version of this package wrote and this one cannot read."""
    try:
        return KINDS[kind].parse(value)
    except (BadInput, KeyError):
        return None


class Book(BaseModel):
    """All runs, and the gateway's port, which is kept even while nothing runs, so that base URLs stay the same."""

    model_config = ConfigDict(extra="forbid")

    port: int = 0
    runs: list[Entry] = []

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

    def write(self, path: Path) -> None:
        """Replace the file at one stroke; only its owner may read it.

        Raises :class:`PlatformError` where it cannot be written (a full disk, above all): the file is then as it was.
        """
        fresh = path.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                f.write(self.model_dump_json())
                f.flush()
                os.fsync(f.fileno())
            fresh.replace(path)
        except OSError as e:
            fresh.unlink(missing_ok=True)
            raise PlatformError(
                f"the local platform cannot write {path}: {e.strerror or e}; free some space and try again"
            ) from e

    def shrink(self, path: Path) -> None:
        """:meth:`write` for a book that has lost a run: it fits into the room that the file has, so a full disk does not keep it.

        Raises :class:`PlatformError` where even that cannot be written.
        """
        try:
            self.write(path)
        except PlatformError:
            text = self.model_dump_json().encode()
            try:
                with path.open("r+b") as f:
                    if len(text) > os.fstat(f.fileno()).st_size:
                        raise
                    f.write(text)
                    f.truncate()
                    f.flush()
                    os.fsync(f.fileno())
            except OSError:
                raise PlatformError(f"{path} could not be rewritten: the run would come back with the next supervisor") from None
