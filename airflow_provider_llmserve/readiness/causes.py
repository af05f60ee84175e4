"""Which cause a text names: the search through ``cause_table``.

The last line of a log is seldom the cause, so the whole text is searched. A row is tried only in its place and for its system;
the first that matches wins. Nothing here raises, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from airflow_provider_llmserve.readiness.cause_table import FAMILY, ROWS, Place, Sign
from airflow_provider_llmserve.readiness.log_lines import (
    LONGEST,
    last_line,
    telling_line,
    tidy,
    without_colours,
    without_harmless,
)
from airflow_provider_llmserve.readiness.reasons import REASONS


@dataclass(frozen=True)
class Cause:
    """A recognised failure: a word of ``reasons``, the line that gave it away, and what to do (None: what the word says)."""

    reason: str
    line: str
    advice: str | None = None


def cause_in_log(text: str, system: str = "") -> Cause | None:
    """The cause that a container's log names, or None.

    ``system`` is a key of ``cause_table.FAMILY`` (empty: not known).
    """
    found = cause_in("log", "", without_harmless(str(text or "")), system)
    return replace(found, line=telling_line(text)) if found and found.reason in _CONSEQUENCES else found


_CONSEQUENCES = frozenset({"engine_start_failed", "engine_dead"})
"""Words of a process about another one's end, whose own exception says more."""


def cause_in(where: Place, reason: str, message: str, system: str = "") -> Cause | None:
    """The cause that ``message`` names with ``reason`` beside it, in that place; None where no row fits.

    ``reason`` is the field of that name; for ``terminated`` it may also be the exit code, for ``http`` the status.
    """
    found = sign_in(where, reason, message, system)
    if found is None:
        return None
    sign, line = found
    return Cause(sign.reason, line, sign.advice or REASONS[sign.reason].advice)


def sign_in(where: Place, reason: str, message: str, system: str = "") -> tuple[Sign, str] | None:
    """The row of the table that :func:`cause_in` goes by, and the line that fits it."""
    return _search(where, str(reason or ""), str(message or ""), system)


def system_of(container: Mapping[str, Any]) -> str:
    """Which system a container of a pod spec runs, by its name and image; empty where neither says."""
    name, image = str(container.get("name") or ""), str(container.get("image") or "")
    if name == "storage-initializer" or "storage-initializer" in image:
        return "storage-initializer"
    for word, system in _IMAGES:
        if word in image:
            return system
    return "kubeai-loader" if name == "loader" else ""


_IMAGES = (
    ("model-loader", "kubeai-loader"),
    ("huggingfaceserver", "huggingfaceserver"),
    ("ollama", "ollama"),
    ("infinity", "infinity"),
    ("vllm", "vllm"),
)


@lru_cache(maxsize=512)
def _search(where: Place, reason: str, message: str, system: str) -> tuple[Sign, str] | None:
    text = without_colours(message)
    family = FAMILY.get(system, FAMILY[""])
    for sign, pattern in _signs():
        if where not in sign.where or not sign.system & family or (sign.beside and reason not in sign.beside):
            continue
        if pattern is None:
            return sign, last_line(text)
        found = pattern.search(text)
        if found:
            return sign, _line_at(text, found.start())
    return None


def _line_at(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return tidy(text[start : end if end >= 0 else len(text)])[:LONGEST]


@lru_cache(maxsize=1)
def _signs() -> tuple[tuple[Sign, re.Pattern[str] | None], ...]:
    return tuple((sign, _compile(sign.texts)) for sign in ROWS)


def _compile(texts: tuple[str, ...]) -> re.Pattern[str] | None:
    if not texts:
        return None
    alternatives = ["(?:.|\n){0,400}?".join(re.escape(part) for part in text.split("…")) for text in texts]
    return re.compile("|".join(alternatives), re.IGNORECASE)
