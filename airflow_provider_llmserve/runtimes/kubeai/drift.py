"""Is the Model still the one we applied?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PINNED = ("image", "args", "env", "envFrom", "files", "adapters", "cacheProfile", "priorityClassName", "autoscalingDisabled")
"""Fields that decide what runs: where we did not set one, somebody else's value is a change too."""


def drift(asked: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Names of the spec fields in which ``live`` is not what was asked for.

    Defaults that the API server or the manager fills in are no drift, and neither is ``replicas`` while the autoscaler owns it.
    Absent and empty are the same: the manager's typed update drops what is empty.
    """
    changed = [key for key, value in asked.items() if not _agrees(value, live.get(key), exact=key == "env")]
    return changed + [key for key in _PINNED if key not in asked and live.get(key)]


def _agrees(asked: Any, live: Any, *, exact: bool = False) -> bool:
    if not asked and not live:
        return True
    if isinstance(asked, Mapping) and not exact:
        return isinstance(live, Mapping) and all(_agrees(value, live.get(key)) for key, value in asked.items())
    return bool(asked == live)
