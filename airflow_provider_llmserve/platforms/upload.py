"""Read, check and upload one adapter."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_llmserve.adapters.base_model import canonical, is_local
from airflow_provider_llmserve.adapters.checks import Adapter, check
from airflow_provider_llmserve.adapters.handover import Handover
from airflow_provider_llmserve.adapters.manifest import MARKER, Entry, Manifest, files_in, folder
from airflow_provider_llmserve.adapters.naming import url_warnings, versioned
from airflow_provider_llmserve.adapters.peft import (
    ALLOWED,
    CONFIG,
    WEIGHTS,
    base_of,
    folder_findings,
    parse_config,
    ranks,
    with_base,
)
from airflow_provider_llmserve.adapters.safetensors import PREFIX, Tensor, header_length, parse_header
from airflow_provider_llmserve.adapters.values import WIDTH, all_zero, has_non_finite
from airflow_provider_llmserve.errors import BadInput, NotFound
from airflow_provider_llmserve.platforms.storage.base import Store, local_path, open_store

log = logging.getLogger(__name__)
CHUNK = 8 * 1024 * 1024
_FOREIGN = "lists other files than this digest stands for: somebody else wrote it; remove that folder"


@dataclass(frozen=True)
class Uploaded:
    """An adapter in the store. ``digest`` is in hex, ``rank`` its largest, ``size`` in bytes."""

    name: str
    url: str
    digest: str
    base_model: str
    rank: int
    size: int


def upload_adapter(handover: Handover, destination: str, *, max_rank: int | None = None, conn_id: str | None = None) -> Uploaded:
    """Check the adapter, and upload it into ``<destination>/<stem>/sha256-<digest>/``; marker last.

    Sends nothing where it is already there, and only what is missing where an earlier upload was cut off. Raises
    :class:`BadInput` with every finding before anything is written, :class:`PlatformError` where the store refuses.
    """
    store = open_store(destination, conn_id)
    with tempfile.TemporaryDirectory(prefix="llmserve-adapter-") as scratch:
        # A copy of our own: what was checked is what is hashed and sent, whatever the training task still writes.
        copy = Path(scratch)
        files = _copy(handover.path, copy)
        adapter = read_adapter(copy, files)
        findings = check(adapter, base_model=handover.base_model, max_rank=max_rank, base_config=_base_config(adapter.config))
        if findings.errors:
            raise BadInput(f"adapter {handover.path}", findings.errors)
        for warning in (*findings.warnings, *url_warnings(store.url)):
            log.warning("%s: %s", handover.path, warning)
        base_model = base_of(adapter.config)
        if base_model is None:
            base_model = handover.base_model or ""
            (copy / CONFIG).write_bytes(with_base(adapter.config, base_model))
        manifest = Manifest.of((_entry(copy / name) for name in ALLOWED), base_model, max(ranks(adapter.config)))
        _send(store, handover.stem, manifest, copy)
    return Uploaded(
        name=versioned(handover.stem, manifest.digest),
        url=f"{store.url}/{folder(handover.stem, manifest.digest)}",
        digest=manifest.digest,
        base_model=base_model,
        rank=manifest.rank,
        size=manifest.size,
    )


def read_adapter(source: Path, files: Collection[str]) -> Adapter:
    """Read what the checks need of the local folder ``source``; ``files`` are all names that the original has.

    Raises :class:`BadInput` where config or weights cannot be read at all.
    """
    config = parse_config((source / CONFIG).read_bytes())
    weights = source / WEIGHTS
    size = weights.stat().st_size
    zero, non_finite = set(), set()
    with weights.open("rb") as f:
        prefix = f.read(PREFIX)
        tensors = parse_header(f.read(header_length(prefix, size)), size)
        for tensor in tensors:
            if tensor.dtype in WIDTH:
                is_zero, is_bad = _values(f, tensor)
                zero |= {tensor.name} if is_zero else set()
                non_finite |= {tensor.name} if is_bad else set()
    return Adapter(config, tuple(tensors), frozenset(zero), frozenset(non_finite), frozenset(files))


def _values(f: Any, tensor: Tensor) -> tuple[bool, bool]:
    f.seek(tensor.begin)
    left, zero, bad = tensor.end - tensor.begin, True, False
    while left and (chunk := f.read(min(left, CHUNK))):
        left -= len(chunk)
        zero = zero and all_zero(chunk)
        bad = bad or has_non_finite(chunk, tensor.dtype)
    return zero, bad


def _copy(url: str, target: Path) -> frozenset[str]:
    """Copy the allowed files of the adapter at ``url`` into ``target``. Returns the names of all its files."""
    path = local_path(url)
    if path is not None and not path.is_dir():
        what = "is a file" if path.exists() else "does not exist on this worker"
        raise BadInput(
            f"adapter {url}", f"{what}; hand over the folder that save_pretrained() wrote, on storage that workers share"
        )
    store = open_store(url)
    names = frozenset(store.sizes())
    if findings := folder_findings(names):
        raise BadInput(f"adapter {url}", findings)
    for name in ALLOWED:
        store.get(name, target / name)
    return names


def _send(store: Store, stem: str, manifest: Manifest, source: Path) -> None:
    under = folder(stem, manifest.digest)
    marker = f"{under}/{MARKER}"
    there = store.sizes(under)
    listed = files_in(store.read(marker)) if MARKER in there else None
    if listed not in (None, manifest.files):
        raise BadInput(f"{store.url}/{marker}", _FOREIGN)
    for entry in sorted(manifest.files, key=lambda e: ALLOWED.index(e.path)):
        at = f"{under}/{entry.path}"
        if there.get(entry.path) == entry.size and (listed is not None or store.holds(at, entry)):
            log.info("%s/%s is there already", store.url, at)
            continue
        log.info("uploading %s/%s (%d bytes)", store.url, at, entry.size)
        store.put(source / entry.path, at, entry)
    if listed is None and not store.write(marker, manifest.to_bytes(), new=True):
        _settle(store, marker, manifest)


def _settle(store: Store, marker: str, manifest: Manifest) -> None:
    """There was a marker just now: another upload of the same adapter, or half of one, which is completed."""
    try:
        listed = files_in(store.read(marker))
    except NotFound:
        listed = None
    if listed is None:
        store.write(marker, manifest.to_bytes(), new=False)
    elif listed != manifest.files:
        raise BadInput(f"{store.url}/{marker}", _FOREIGN)


def _entry(path: Path) -> Entry:
    sha = hashlib.sha256()
    with path.open("rb") as f:
        while chunk := f.read(CHUNK):
            sha.update(chunk)
    return Entry(path.name, path.stat().st_size, sha.hexdigest())


def _base_config(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The base's ``config.json``, where this machine has it: the folder trained from, or the hub's cache. Nothing is fetched."""
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        return None
    path: Any = Path(named) / "config.json"
    try:
        if not is_local(named) and not path.is_file():
            from huggingface_hub import try_to_load_from_cache

            path = try_to_load_from_cache(canonical(named), "config.json")
        value = json.loads(Path(path).read_bytes())
    except (ImportError, OSError, ValueError, TypeError):
        return None
    return value if isinstance(value, dict) else None
