"""Which base model an adapter belongs to: names compared whole, never by substring."""

from __future__ import annotations

import re

_HUB = re.compile(r"^(?:hf|huggingface)://|^https?://(?:www\.)?huggingface\.co/", re.IGNORECASE)
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def canonical(name: str) -> str:
    """``name`` as model servers write it: a hub id without scheme (``org/model``), any other URL as it is,
    no slash at the end."""
    return _HUB.sub("", name.strip()).rstrip("/")


def same_base(a: str, b: str) -> bool:
    """Whether both name one model. Hub ids are compared without regard to case, as the hub does; URLs exactly."""
    a, b = canonical(a), canonical(b)
    if _SCHEME.match(a) or _SCHEME.match(b):
        return a == b
    return a.casefold() == b.casefold()


def is_local(name: str) -> bool:
    """Whether ``name`` is a folder of the machine that trained, which says nothing to a server."""
    name = name.strip()
    if name.lower().startswith("file://"):
        return True
    if _SCHEME.match(name):
        return False
    return name.startswith((".", "/", "~", "\\")) or name[1:2] == ":" or name.rstrip("/").count("/") > 1
