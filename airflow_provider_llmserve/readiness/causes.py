"""Which cause a text names: the search through ``cause_table``.

The last line of a log is seldom the cause, so the whole text is searched. A row is tried only in its place and for its system; the
first that matches wins. Nothing here raises, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from airflow_provider_llmserve.readiness.cause_table import ROWS

Where = Literal["log", "termination", "waiting", "terminated", "pod", "event", "condition", "api", "http"]

_LETTERS: Mapping[str, str] = {
    "log": "L",
    "termination": "T",
    "waiting": "W",
    "terminated": "X",
    "pod": "P",
    "event": "E",
    "condition": "C",
    "api": "A",
    "http": "H",
}

FAMILY: Mapping[str, frozenset[str]] = {
    "vllm": frozenset({"vllm"}),
    "huggingfaceserver": frozenset({"vllm", "hfs", "storage"}),
    "storage-initializer": frozenset({"storage"}),
    "kubeai-loader": frozenset({"loader"}),
    "kubeai-manager": frozenset({"manager"}),
    "ollama": frozenset({"ollama"}),
    "infinity": frozenset({"infinity", "vllm"}),
}
"""System to the writers whose rows apply to it. huggingfaceserver runs vLLM inside and fetches as the storage initializer does."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PREFIX = re.compile(
    r"^(\([\w-]+ pid=\d+\) )?"  # vLLM's process
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d+ \d+ [\w.]+ )?"  # KServe: time, process, logger
    r"((DEBUG|INFO|WARNING|ERROR|CRITICAL):? +)?(\d\d-\d\d \d\d:\d\d:\d\d )?(\[[^\]\s]+:\d+\] )?"
)


@dataclass(frozen=True)
class Cause:
    """A recognised failure: a word of ``reasons``, the line that gave it away, and a remedy where the word's own does not say it."""

    reason: str
    line: str
    remedy: str | None = None


@dataclass(frozen=True)
class _Row:
    systems: frozenset[str]
    where: str
    on: frozenset[str]
    pattern: re.Pattern[str] | None
    reason: str
    remedy: str | None


def cause_in_log(text: str, system: str = "") -> Cause | None:
    """The cause that a container's log names, or None.

    ``system`` is a key of :data:`FAMILY` (empty: not known, every row is tried).
    """
    return cause_in("log", "", text, system)


def cause_in(where: Where, reason: str, message: str, system: str = "") -> Cause | None:
    """The cause that ``message`` names with ``reason`` beside it, in that place; None where no row fits.

    ``reason`` is the field of that name; for ``terminated`` it may also be the exit code, for ``http`` the status.
    """
    return _search(_LETTERS.get(where, "?"), str(reason or ""), str(message or ""), system)


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


def last_line(text: str) -> str:
    """The last line of a log that says something, without colours and prefixes, at most 300 characters."""
    lines = [tidy(line) for line in str(text or "").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:300]


def tidy(line: str) -> str:
    """A log line without ANSI codes and without vLLM's prefix (process, level, time, source)."""
    return _PREFIX.sub("", _ANSI.sub("", line).strip(), count=1).strip()


@lru_cache(maxsize=512)
def _search(letter: str, reason: str, message: str, system: str) -> Cause | None:
    text = _ANSI.sub("", message)
    writers = FAMILY.get(system)
    for row in _rows():
        if letter not in row.where or (row.on and reason not in row.on):
            continue
        if row.systems and writers is not None and not row.systems & writers:
            continue
        if row.pattern is None:
            return Cause(row.reason, last_line(text), row.remedy)
        found = row.pattern.search(text)
        if found:
            return Cause(row.reason, _line_at(text, found.start()), row.remedy)
    return None


def _line_at(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return tidy(text[start : end if end >= 0 else len(text)])[:500]


@lru_cache(maxsize=1)
def _rows() -> tuple[_Row, ...]:
    return tuple(
        _Row(frozenset(systems.split()), where, frozenset(on), _compile(texts), reason, remedy or None)
        for systems, where, on, texts, reason, remedy in ROWS
    )


def _compile(texts: tuple[str, ...]) -> re.Pattern[str] | None:
    if not texts:
        return None
    alternatives = ["(?:.|\n){0,400}?".join(re.escape(part) for part in text.split("…")) for text in texts]
    return re.compile("|".join(alternatives), re.IGNORECASE)
