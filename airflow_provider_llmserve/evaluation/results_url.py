"""Where per-sample results go by default, and whether two URLs name one file. Pure."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[A-Za-z0-9_.-]")
_LONGEST = 180
"""Characters of one part: file systems take 255 bytes."""


def is_local(url: str) -> bool:
    """Whether the URL names a file of this machine."""
    return urlsplit(url).scheme in ("", "file")


def default_url(
    dataset: str, *, configured: str, own: str, dag: str, run: str, task: str, map_index: int, try_number: int
) -> str:
    """The URL of one try's results: one file for each DAG run, task, map index and try.

    Under ``configured`` (Airflow's ``[llmserve] results``) where that is set; else beside a data set that lies in a store; else
    under the worker's ``own`` folder, since the folder of a local data set is often the DAG folder, which is often read-only.
    """
    if configured:
        root = configured.rstrip("/")
    elif not is_local(dataset):
        root = f"{dataset.removesuffix('.jsonl')}.results"
    else:
        root = own.rstrip("/")
    mapped = f"{map_index}." if map_index >= 0 else ""
    return "/".join([root, part(dag), part(run), part(task), f"{mapped}{try_number}.jsonl"])


def part(text: str) -> str:
    """``text`` as one segment of a path: no two texts become one, and none climbs out of its folder.

    What is no letter, digit, ``_``, ``-`` or inner dot is written as ``=`` and the hexadecimal of its UTF-8; a long one ends in
    the digest of the whole.
    """
    plain = "".join(c if _PLAIN.fullmatch(c) else "".join(f"={b:02X}" for b in c.encode("utf-8", "surrogatepass")) for c in text)
    if plain.startswith("."):
        plain = f"=2E{plain[1:]}"
    if len(plain) <= _LONGEST:
        return plain or "="
    return f"{plain[: _LONGEST - 34]}=={hashlib.sha256(plain.encode()).hexdigest()[:32]}"


def same_object(one: str, other: str) -> bool:
    """Whether two URLs of a store name one object, whatever connection they name. Local files are compared on the machine."""
    a, b = urlsplit(one), urlsplit(other)
    where = [(u.scheme, u.netloc.rpartition("@")[2], u.path.lstrip("/")) for u in (a, b)]
    return where[0] == where[1]
