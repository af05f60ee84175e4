"""Reading raw Kubernetes JSON where any field may be missing or of another type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from airflow_provider_llmserve.readiness.observed import Object

_EMPTY: Mapping[str, Any] = {}
_FRACTION = re.compile(r"\.(\d+)")


def _is_mapping(value: Any) -> bool:
    # Nearly always a dict, and an abstract class is ten times slower to ask.
    return type(value) is dict or isinstance(value, Mapping)


def at(value: Any, *path: str) -> Any:
    """The field at ``path``, None where there is none."""
    for key in path:
        value = value.get(key) if _is_mapping(value) else None
    return value


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """The object at ``path``, empty where there is none."""
    found = at(value, *path)
    return found if _is_mapping(found) else _EMPTY


def items(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """The list of objects at ``path``; what is no object in it is left out."""
    found = at(value, *path)
    return [i for i in found if _is_mapping(i)] if isinstance(found, (list, tuple)) else []


def text(value: Any, *path: str) -> str:
    """The string at ``path``, empty where there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int:
    """The integer at ``path``, 0 where there is none."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def moment(value: Any, *path: str) -> datetime | None:
    """The time at ``path`` (Kubernetes Time or MicroTime), None where there is none."""
    found = text(value, *path)
    if not found:
        return None
    # Python 3.10 reads neither "Z" nor fractions of other than 3 or 6 digits.
    plain = _FRACTION.sub(lambda m: "." + m.group(1)[:6].ljust(6, "0"), found.replace("Z", "+00:00"))
    try:
        read = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)


def name_of(value: Object) -> str:
    """``metadata.name``, empty where there is none."""
    return text(value, "metadata", "name")


def uid_of(value: Object) -> str:
    """``metadata.uid``, empty where there is none."""
    return text(value, "metadata", "uid")


def labels_of(value: Object) -> Mapping[str, Any]:
    """``metadata.labels``, empty where there are none."""
    return mapping(value, "metadata", "labels")


def terminating(value: Object) -> bool:
    """Deletion was asked for."""
    return bool(at(value, "metadata", "deletionTimestamp"))


def condition(value: Object, kind: str) -> Mapping[str, Any]:
    """The status condition of that type, empty where there is none."""
    return next((c for c in items(value, "status", "conditions") if c.get("type") == kind), _EMPTY)


def is_true(value: Object, kind: str) -> bool:
    """The status condition of that type stands and says ``True``."""
    return condition(value, kind).get("status") == "True"


def owned_by(value: Object, uid: str) -> bool:
    """An ownerReference names ``uid``."""
    return bool(uid) and any(r.get("uid") == uid for r in items(value, "metadata", "ownerReferences"))
