"""Data sets and results: single files in any store that this package reads.

Called outside of a running event loop: the amazon provider's filesystem runs one of its own (``aws/fs/s3.py``, 9.39).
"""

from __future__ import annotations

import re

from airflow_provider_llmserve.errors import BadInput, NotFound, PlatformError
from airflow_provider_llmserve.platforms.storage import Store, open_store
from airflow_provider_llmserve.platforms.storage.base import local_path


def read(url: str) -> bytes:
    """The file's bytes. Raises :class:`BadInput` where it is not there."""
    store, name = _opened(url)
    try:
        return store.read(name)
    except NotFound as e:
        raise BadInput(url, f"no such file ({e})") from e


def prepare(url: str) -> None:
    """Write an empty file, so that a place that cannot be written is known before the work is done. Raises :class:`BadInput`."""
    try:
        store, name = _opened(url)
        local = local_path(url)
        if local is not None:
            local.parent.mkdir(parents=True, exist_ok=True)
        store.write(name, b"", new=False)
    except (PlatformError, OSError) as e:
        raise BadInput(url, f"results cannot be written there ({e}); say where with results=") from e


def write(url: str, text: str) -> None:
    """Write the file, replacing what an earlier try left."""
    store, name = _opened(url)
    store.write(name, text.encode(), new=False)


def beside(dataset: str, *parts: str) -> str:
    """Where results go by default: ``evals/support.jsonl`` has them in ``evals/support.results/<part>/….jsonl``."""
    stem = dataset.removesuffix(".jsonl")
    safe = "/".join(re.sub(r"[^\w.=-]", "_", part) for part in parts)
    return f"{stem}.results/{safe}.jsonl"


def _opened(url: str) -> tuple[Store, str]:
    folder, _, name = url.rpartition("/")
    if not name:
        raise BadInput(repr(url), "a file was expected")
    return open_store(folder or "."), name
