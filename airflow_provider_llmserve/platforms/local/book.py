"""What the supervisor must not forget: one JSON file, replaced as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from airflow_provider_llmserve.errors import PlatformError
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.local.plan import LocalPlan
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.record import Record


class BookEntry(BaseModel):
    """One run. ``version`` counts its changes; its record is kept as every platform keeps it, in strings."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str
    uid: str
    version: int = 1
    record: dict[str, str]
    plan: LocalPlan
    port: int = 0
    """Port of its own listener, for a standalone server; 0 for a run behind the shared gateway."""

    @property
    def key(self) -> tuple[str, str]:
        """What finds it in the book."""
        return (self.kind, self.name)

    @property
    def known(self) -> Record:
        """The record, read. Its spec is None where another version of this package wrote one that this one cannot read."""
        return records.read(self.record) or Record(Owner(), None)

    @property
    def as_proven(self) -> BookEntry:
        """This version, once it has answered by all its names."""
        return self.model_copy(update={"record": {k: v for k, v in self.record.items() if k != "unproven"}})

    def after(self, replaced: BookEntry | None) -> BookEntry:
        """This new version, with what a rollback puts back of the one that it replaces."""
        mine = self.known
        if mine.spec is None:
            return self
        made = records.succeed(replaced.known if replaced else None, mine.owner, mine.spec, mine.stopped, mine.ttl)
        return self.model_copy(update={"record": records.write(replace(made, applied=mine.applied, runtime=mine.runtime))})


class Book(BaseModel):
    """All runs, and the gateway's port, which is kept even while nothing runs, so that base URLs stay the same."""

    model_config = ConfigDict(extra="forbid")

    port: int = 0
    runs: list[BookEntry] = []

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
