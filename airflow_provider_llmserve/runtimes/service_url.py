"""URLs inside a cluster."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_IN_CLUSTER = re.compile(r"(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc(\..*)?")


def service_of(url: str) -> str:
    """``namespace/name:port`` of the Service at an in-cluster URL, as the API server's proxy names it (``https:name:port`` where
    it speaks TLS); empty for any other URL."""
    parts = urlsplit(url)
    match = _IN_CLUSTER.fullmatch(parts.hostname or "")
    if match is None:
        return ""
    secure = parts.scheme == "https"
    return f"{match['namespace']}/{'https:' if secure else ''}{match['name']}:{parts.port or (443 if secure else 80)}"
