"""Data sets and results through Airflow's object storage, so that any of its filesystems and connections will do.

Called outside of a running event loop: the amazon provider's filesystem runs one of its own (``aws/fs/s3.py``, 9.39).
"""

from __future__ import annotations

import logging
import re

from airflow_provider_llmserve.errors import BadInput, Unavailable

log = logging.getLogger(__name__)


def read(url: str) -> bytes:
    """The file's bytes. Raises :class:`BadInput` where it is not there, :class:`Unavailable` where the store fails."""
    from airflow.sdk import ObjectStoragePath

    try:
        return bytes(ObjectStoragePath(url).read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput(url, "no such file") from None
    except (ValueError, ImportError) as e:
        raise BadInput(url, f"cannot be read: {e}") from e
    except OSError as e:
        raise Unavailable(f"{url} cannot be read: {e}") from e


def prepare(url: str) -> None:
    """Make the folder of a file on this machine, so that a place that cannot be written is known before the work is done."""
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(url)
    if path.protocol not in ("file", "local", ""):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise BadInput(url, f"results cannot be written there ({e.strerror or e}); say where with results=") from e


def write(url: str, text: str) -> None:
    """Write the file, replacing what an earlier try left. Raises :class:`Unavailable` where the store fails."""
    from airflow.sdk import ObjectStoragePath

    try:
        ObjectStoragePath(url).write_bytes(text.encode())
    except OSError as e:
        raise Unavailable(f"{url} cannot be written: {e}") from e


def beside(dataset: str, *parts: str) -> str:
    """Where results go by default: ``evals/support.jsonl`` has them in ``evals/support.results/<part>/….jsonl``."""
    stem = dataset.removesuffix(".jsonl")
    safe = "/".join(re.sub(r"[^\w.=-]", "_", part) for part in parts)
    return f"{stem}.results/{safe}.jsonl"
