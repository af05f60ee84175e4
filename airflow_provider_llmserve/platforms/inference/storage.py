"""Data sets and results: single files in any store that this package reads.

Called outside of a running event loop: the amazon provider's filesystem runs one of its own (``aws/fs/s3.py``, 9.39).
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from uuid import uuid4

from airflow_provider_llmserve.errors import BadInput, NotFound, PlatformError
from airflow_provider_llmserve.evaluation.results_url import same_object
from airflow_provider_llmserve.platforms.storage import Store, open_store
from airflow_provider_llmserve.platforms.storage.base import local_path

log = logging.getLogger(__name__)


def read(url: str) -> bytes:
    """The file's bytes. Raises :class:`BadInput` where it is not there."""
    store, name = _opened(url)
    try:
        return store.read(name)
    except NotFound as e:
        raise BadInput(url, f"no such file ({e})") from e


def prepare(url: str, dataset: str) -> None:
    """Try the place, so that one that cannot be written is known before the work is done; what lies there stays as it is.

    Raises :class:`BadInput` for such a place, and for the data set itself.
    """
    if _same(url, dataset):
        raise BadInput(url, "is the data set itself, and would be overwritten; give the results another name")
    probe = f"{url}.{uuid4().hex[:8]}.probe"
    try:
        store, name = _opened(probe)
        local = local_path(probe)
        if local is not None:
            local.parent.mkdir(parents=True, exist_ok=True)
        store.write(name, b"", new=True)
    except (PlatformError, OSError) as e:
        raise BadInput(url, f"results cannot be written there ({e}); say where with results=") from e
    try:
        store.remove(name)
    except PlatformError as e:
        log.warning("%s, an empty file that tried the place, could not be removed: %s", probe, e)


def publish(url: str, text: str) -> None:
    """Write the file at one stroke: whoever reads it sees what was there, or all of the new one.
    Raises :class:`PlatformError`."""
    local = local_path(url)
    if local is None:
        store, name = _opened(url)
        store.write(name, text.encode(), new=False)  # a store shows an object when it is whole
        return
    fresh = local.with_name(f".{local.name[:200]}.{uuid4().hex[:8]}.part")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(local)
    except OSError as e:
        raise PlatformError(f"{url}: results cannot be written: {e}") from e
    finally:
        fresh.unlink(missing_ok=True)


def own_folder() -> str:
    """Where a worker keeps what nobody told it where to put: ``$AIRFLOW_HOME/llmserve/results``, or, where that cannot be
    written, a folder of this user among the temporary files."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().absolute() / "llmserve" / "results"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return f"file://{home}"
    except OSError as e:
        log.debug("%s: %s", home, e)
    return f"file://{tempfile.gettempdir()}/llmserve-results-{os.getuid()}"


def _same(one: str, other: str) -> bool:
    a, b = local_path(one), local_path(other)
    if a is None or b is None:
        return a is b and same_object(one, other)
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def _opened(url: str) -> tuple[Store, str]:
    folder, _, name = url.rpartition("/")
    if not name:
        raise BadInput(repr(url), "a file was expected")
    return open_store(folder or "."), name
