"""What a store can do, and which store a URL means."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from airflow_provider_llmserve.adapters.manifest import Entry
from airflow_provider_llmserve.errors import BadInput


class Store(Protocol):
    """One folder of an object store. ``path`` is always relative to it.

    All methods raise :class:`~airflow_provider_llmserve.errors.PlatformError`: ``NotFound`` for a missing object or bucket,
    ``AccessDenied``, ``Unavailable``.
    """

    url: str
    """The folder, free of a connection id and without a slash at its end."""

    def sizes(self, path: str = "") -> dict[str, int]:
        """Files right in folder ``path`` and their sizes in bytes; empty where there is no such folder."""
        ...

    def marks(self, path: str = "") -> dict[str, str]:
        """Files right in folder ``path``, each with a mark that changes when the store knows its contents changed."""
        ...

    def read(self, path: str) -> bytes:
        """The contents of a small file."""
        ...

    def write(self, path: str, data: bytes, *, new: bool) -> bool:
        """Write a small file. With ``new`` only where there is none; False where there was one.

        A store without conditional writes just writes.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove one file. One that is not there is none to remove."""
        ...

    def holds(self, path: str, entry: Entry) -> bool:
        """Whether the file at ``path``, known to have the entry's size, has its contents too."""
        ...

    def put(self, source: Path, path: str, entry: Entry) -> None:
        """Upload ``source``. Whoever reads ``path`` meanwhile sees what was there, or all of the new file."""
        ...

    def get(self, path: str, target: Path) -> None:
        """Download to ``target``."""
        ...


def open_store(url: str, conn_id: str | None = None) -> Store:
    """The store of ``url``: a local folder, or any URL that ObjectStoragePath takes.

    The Airflow connection is ``conn_id``, or stands in the URL (``s3://my_conn@bucket/prefix``). Without one, ``s3://`` uses
    ``aws_default`` where that exists, else the machine's own credentials; other stores use the machine's own.
    Raises :class:`BadInput` for a URL that names no place, two connections, or one that does not exist.
    """
    parts = urlsplit(url)
    named, _, host = parts.netloc.rpartition("@")
    clean = parts._replace(netloc=host).geturl().rstrip("/")
    if ":" in named:
        raise BadInput(clean, "credentials in a URL end in logs; put them into an Airflow connection and name that")
    if named and conn_id and named != conn_id:
        raise BadInput(clean, f"the URL names connection {named!r} and conn_id says {conn_id!r}; give one")
    if parts.query or parts.fragment:
        raise BadInput(clean, "a folder was expected, without '?' or '#'")
    conn_id = conn_id or named or None
    if conn_id:
        _require_connection(conn_id)
    if parts.scheme == "s3":
        from airflow_provider_llmserve.platforms.storage.s3 import S3Store

        if not host:
            raise BadInput(clean, "no bucket: expected s3://bucket/prefix")
        return S3Store(host, parts.path.strip("/"), conn_id)
    from airflow_provider_llmserve.platforms.storage.path import PathStore

    local = local_path(url)
    return PathStore(f"file://{local}" if local else clean, conn_id)


def local_path(url: str) -> Path | None:
    """The folder of this machine that ``url`` means, absolute; None for any other store."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file"):
        return None
    if parts.netloc:
        raise BadInput(url, f"a local folder has three slashes: file:///{parts.netloc}{parts.path}")
    if not parts.path:
        raise BadInput(repr(url), "a folder was expected")
    return Path(parts.path).expanduser().absolute()


def _require_connection(conn_id: str) -> None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        Connection.get(conn_id)
    except AirflowNotFoundException:
        raise BadInput(
            f"connection {conn_id!r}",
            f"does not exist; make it with: airflow connections add {conn_id} --conn-type aws (or the store's own type) …",
        ) from None
