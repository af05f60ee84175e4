"""Objects with a field gone, or of another type, for tests that nothing raises. The whole object is never changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from enum import Enum
from typing import Any

Path = tuple[Any, ...]


class _Gone(Enum):
    GONE = "gone"


GONE = _Gone.GONE
FOREIGN: tuple[Any, ...] = (None, 0, "x", True, [], {}, [None], {"x": None})
"""Values that a field of another type may have; :func:`put` copies them."""


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """Every field, at any depth."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*here, key)
        yield from paths(inner, (*here, key))


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy of ``value`` with ``new`` at ``path``, or nothing there (:data:`GONE`); what lies off the path is the same."""
    key, *rest = path
    changed = copy.copy(value)
    if rest:
        changed[key] = put(value[key], tuple(rest), new)
    elif new is GONE:
        del changed[key]
    else:
        changed[key] = copy.deepcopy(new)
    return changed
