"""Names of adapters: a stem for people, and eight digits of the digest so that a new version is a new name.

Servers keep caches and files by name (KubeAI loads under one name once, vLLM's prefix cache keys on it), so a name never
stands for two sets of weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_llmserve.errors import BadInput

MAX_STEM = 63 - 1 - 8
"""KubeAI's 63 characters, less a dash and eight digits."""
_KUBEAI_SCHEMES = ("s3://", "gs://", "oss://")
_STEM = re.compile(r"[a-z0-9]([a-z0-9-]{0,52}[a-z0-9])?")


def check_stem(stem: str) -> str:
    """``stem``, where it is one. Raises :class:`BadInput` otherwise.

    KubeAI makes the name a label key and a part of ``<model>_<adapter>``: lower-case letters, digits, dashes inside.
    """
    if not _STEM.fullmatch(stem):
        raise BadInput(
            f"adapter name {stem!r}",
            f"lower-case letters, digits and dashes, no dash at either end, at most {MAX_STEM} characters (the digest is added)",
        )
    return stem


def stem_of(folder: str) -> str:
    """A stem from the last part of a path or URL. Raises :class:`BadInput` where nothing is left of it."""
    last = folder.rstrip("/").rpartition("/")[2]
    stem = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:MAX_STEM].rstrip("-")
    if not stem:
        raise BadInput("adapter name", f"none can be made from {folder!r}; give name=")
    return stem


def versioned(stem: str, digest: str) -> str:
    """``tuned`` and ``3f9a2c1d…`` make ``tuned-3f9a2c1d``."""
    return f"{stem}-{digest[:8]}"


def pick(name: str, names: Iterable[str], served_by: str) -> str:
    """The one of ``names`` that ``name`` means: by the whole name, or by the stem where only one name is a version of it.

    Raises :class:`BadInput` naming the adapters that ``served_by`` has.
    """
    known = sorted(names)
    found = [n for n in known if n == name] or [n for n in known if re.fullmatch(re.escape(name) + "-[0-9a-f]{8}", n)]
    if len(found) != 1:
        what = "several adapters have that stem" if found else "no such adapter"
        raise BadInput(f"adapter {name!r}", f"{what} on {served_by}; served adapters: {', '.join(known) or 'none'}")
    return found[0]


def url_warnings(url: str) -> list[str]:
    """KubeAI after 0.22 takes no other characters in a URL (CRD pattern on its main branch)."""
    if not url.startswith(_KUBEAI_SCHEMES) or re.fullmatch(r"[a-z0-9]+://[a-zA-Z0-9._:/-]+", url):
        return []
    return [f"newer versions of KubeAI refuse {url!r}: they take only letters, digits and '._:/-' in a URL"]
