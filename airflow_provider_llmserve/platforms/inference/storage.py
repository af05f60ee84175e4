"""Data sets and results through Airflow's object storage, so that any of its filesystems and connections will do.

Called outside of a running event loop: the amazon provider's filesystem runs one of its own (``aws/fs/s3.py``, 9.39).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_llmserve.errors import AccessDenied, BadInput, Unavailable

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def read(url: str) -> bytes:
    """The file's bytes. Raises :class:`BadInput` where it is not there."""
    with _opened(url, "read") as path:
        return bytes(path.read_bytes())


def prepare(url: str) -> None:
    """Make the folder of a file on this machine, so that a place that cannot be written is known before the work is done."""
    try:
        with _opened(url, "written") as path:
            if path.protocol in ("file", "local", ""):
                path.parent.mkdir(parents=True, exist_ok=True)
    except (AccessDenied, Unavailable) as e:
        raise BadInput(url, f"results cannot be written there ({e.__cause__}); say where with results=") from e


def write(url: str, text: str) -> None:
    """Write the file, replacing what an earlier try left."""
    with _opened(url, "written") as path:
        path.write_bytes(text.encode())


def beside(dataset: str, *parts: str) -> str:
    """Where results go by default: ``evals/support.jsonl`` has them in ``evals/support.results/<part>/….jsonl``."""
    stem = dataset.removesuffix(".jsonl")
    safe = "/".join(re.sub(r"[^\w.=-]", "_", part) for part in parts)
    return f"{stem}.results/{safe}.jsonl"


@contextmanager
def _opened(url: str, done: str) -> Iterator[ObjectStoragePath]:
    """The path, with the store's errors as ours: a filesystem of fsspec raises whatever its own library does."""
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        yield ObjectStoragePath(url)
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput(url, "no such file") from None
    except (ValueError, ImportError, AirflowNotFoundException) as e:
        raise BadInput(url, f"cannot be {done}: {e}") from e
    except PermissionError as e:
        raise AccessDenied(f"{url} cannot be {done}: {e}") from e
    except Exception as e:
        raise Unavailable(f"{url} cannot be {done}: {type(e).__name__}: {e}") from e
