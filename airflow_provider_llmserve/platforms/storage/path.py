"""Any store that Airflow's ObjectStoragePath reads: local folders, GCS, Azure and the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_llmserve.adapters.manifest import Entry
from airflow_provider_llmserve.errors import AccessDenied, BadInput, NotFound, Unavailable

CHUNK = 1024 * 1024


class PathStore:
    """One folder behind the fsspec filesystem of an ObjectStoragePath."""

    def __init__(self, url: str, conn_id: str | None):
        from airflow.sdk import ObjectStoragePath

        self.url = url
        try:
            root = ObjectStoragePath(url, conn_id=conn_id)
            # fs, not the path's own methods: without a connection those bypass the provider's filesystem (task-sdk 1.3.2).
            self._fs = root.fs
        except (ImportError, ValueError) as e:
            raise BadInput(url, f"no filesystem for this URL: {e}") from e
        self._root = root.path.rstrip("/")
        self._is_local = url.startswith("file://")

    def sizes(self, path: str = "") -> dict[str, int]:
        return {name: found["size"] for name, found in self._files(path).items()}

    def marks(self, path: str = "") -> dict[str, str]:
        # fsspec has no common word for it: GCS says etag or md5Hash, Azure etag, local files mtime.
        words = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "size")
        return {name: str([found.get(word) for word in words]) for name, found in self._files(path).items()}

    def _files(self, path: str) -> dict[str, dict[str, Any]]:
        with self._errors(path):
            self._fs.invalidate_cache()
            try:
                found: list[dict[str, Any]] = self._fs.ls(self._at(path), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            return {f["name"].rpartition("/")[2]: f for f in found if f["type"] == "file"}

    def read(self, path: str) -> bytes:
        with self._errors(path):
            data: bytes = self._fs.cat_file(self._at(path))
            return data

    def write(self, path: str, data: bytes, *, new: bool) -> bool:
        with self._errors(path):
            if new:
                try:
                    self._fs.pipe_file(self._at(path), data, mode="create")
                    return True
                except FileExistsError:
                    return False
                except (NotImplementedError, TypeError):  # a filesystem without exclusive writes
                    pass
            self._fs.pipe_file(self._at(path), data)
            return True

    def remove(self, path: str) -> None:
        with self._errors(path), suppress(FileNotFoundError):
            self._fs.rm_file(self._at(path))

    def holds(self, path: str, entry: Entry) -> bool:
        sha = hashlib.sha256()
        with self._errors(path), self._fs.open(self._at(path), "rb") as f:
            while chunk := f.read(CHUNK):
                sha.update(chunk)
        return sha.hexdigest() == entry.sha256

    def put(self, source: Path, path: str, entry: Entry) -> None:
        at = self._at(path)
        with self._errors(path):
            self._fs.makedirs(at.rpartition("/")[0], exist_ok=True)
            if not self._is_local:  # object stores show an object when it is whole
                self._fs.put_file(str(source), at)
                return
            part = Path(f"{at}.{uuid4().hex}.part")
            try:
                self._fs.put_file(str(source), str(part))
                part.replace(at)
            finally:
                part.unlink(missing_ok=True)

    def get(self, path: str, target: Path) -> None:
        with self._errors(path):
            self._fs.get_file(self._at(path), str(target))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root or "/"

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        where = f"{self.url}/{path}".rstrip("/")
        try:
            yield
        except PermissionError as e:
            raise AccessDenied(f"{where}: {e}", status=403) from e
        except FileNotFoundError as e:
            raise NotFound(f"{where}: no such file or folder", status=404) from e
        except OSError as e:
            raise Unavailable(f"{where}: {e}") from e
