"""What may name a serving run: its kind and its name. Light: every DAG file that imports an operator imports this."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_llmserve.registry import RUNTIMES

KINDS = tuple(dict.fromkeys(row.kind for row in RUNTIMES))
"""The kinds of serving run, as DigitalHub calls them; ``specs.KINDS`` has the spec of each."""
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What names a serving run: an RFC 1123 subdomain, as the API server has it.
No slash, so that it stays one segment of every path."""
LONGEST_NAME = 253


def name_finding(name: Any) -> str:
    """What is wrong with the name of a serving run; empty where nothing is."""
    if isinstance(name, str) and len(name) <= LONGEST_NAME and OBJECT_NAME.fullmatch(name):
        return ""
    shown = repr(name if len(str(name)) <= 80 else f"{str(name)[:80]}…")
    return f"{shown} is no name of a serving run: lower-case letters, digits, '-' and '.', at most {LONGEST_NAME} characters"


def kind_finding(kind: Any) -> str:
    """What is wrong with the kind of a serving run; empty where nothing is."""
    return "" if kind in KINDS else f"unknown kind {kind!r}; known: {', '.join(KINDS)}"
