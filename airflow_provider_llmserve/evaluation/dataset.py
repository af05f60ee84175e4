"""An evaluation's data set: JSON lines, each one question and what a right answer is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_llmserve.errors import BadInput

MAX_FINDINGS = 20
COLUMNS = ("id", "prompt", "messages", "expected")

Label = str | int
Message = Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """One question.

    Exactly one of ``prompt`` and ``messages`` is set. ``expected`` is what a right answer is: for text one reference or several
    of which any will do; for token classification one label a token, where -100 is not counted (HuggingFace's convention).
    """

    id: str
    line: int
    expected: Label | tuple[Label, ...]
    prompt: str | None = None
    messages: tuple[Message, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """The acceptable answers, as text."""
        many = self.expected if isinstance(self.expected, tuple) else (self.expected,)
        return tuple(str(one) for one in many)


def parse(data: bytes, *, subject: str, columns: Mapping[str, str] | None = None) -> list[Row]:
    """Read JSON lines; blank lines are skipped, a UTF-8 byte order mark is taken.

    ``columns`` maps our names (``id``, ``prompt``, ``messages``, ``expected``) to the file's own: ``{"prompt": "text",
    "expected": "label"}``. Without an ``id`` a row's line number is its id. Other columns are ignored.
    Raises :class:`BadInput` with every bad line and its number (the first twenty of them), or where there is no row at all.
    """
    names = _columns(columns or {})
    rows: list[Row] = []
    findings: list[str] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _row(line, number, names)
            if row.id in line_of:
                raise ValueError(f"id {row.id!r} was already used in line {line_of[row.id]}")
        except ValueError as e:
            findings.append(f"line {number}: {e}")
        else:
            line_of[row.id] = number
            rows.append(row)
    if findings:
        raise BadInput(subject, cap(findings))
    if not rows:
        raise BadInput(subject, "no rows: an evaluation needs at least one JSON line")
    return rows


def cap(findings: Sequence[str]) -> list[str]:
    """The first findings, and how many more there are."""
    more = len(findings) - MAX_FINDINGS
    return [*findings[:MAX_FINDINGS], *([f"… and {more} more"] if more > 0 else [])]


def _columns(given: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(given) - set(COLUMNS))
    if unknown:
        raise BadInput("columns", f"unknown name {unknown[0]!r}; ours are {', '.join(COLUMNS)}")
    return {name: given.get(name, name) for name in COLUMNS}


def _row(line: bytes, number: int, names: Mapping[str, str]) -> Row:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as e:
        raise ValueError(f"not UTF-8 (byte {e.start + 1} of the line)") from None
    except json.JSONDecodeError as e:
        raise ValueError(f"no JSON: {e.msg} (column {e.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is wanted, this is {_kind(value)}")
    prompt, messages = value.get(names["prompt"]), value.get(names["messages"])
    if (prompt is None) == (messages is None):
        have = ", ".join(map(repr, value)) or "none"
        fault = "both" if prompt is not None else "neither"
        raise ValueError(f"one of {names['prompt']!r} and {names['messages']!r} is wanted, {fault} given (columns: {have})")
    row_id = value.get(names["id"])
    return Row(
        id=str(number) if row_id is None else str(_label(row_id, names["id"])),
        line=number,
        expected=_expected(value.get(names["expected"]), names["expected"]),
        prompt=None if prompt is None else _text(prompt, names["prompt"]),
        messages=() if messages is None else _messages(messages, names["messages"]),
    )


def _expected(value: Any, name: str) -> Label | tuple[Label, ...]:
    if value is None:
        raise ValueError(f"no {name!r}: what a right answer is")
    if isinstance(value, list):
        if not value:
            raise ValueError(f"{name!r} is an empty list")
        return tuple(_label(one, f"{name}[{i}]") for i, one in enumerate(value))
    return _label(value, name)


def _label(value: Any, name: str) -> Label:
    if isinstance(value, (bool, float)):
        return json.dumps(value)
    if isinstance(value, int):
        return value
    return _text(value, name)


def _messages(value: Any, name: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name!r} must be a list of messages")
    for i, one in enumerate(value):
        if not isinstance(one, dict) or set(one) != {"role", "content"}:
            raise ValueError(f"{name}[{i}] must be an object of 'role' and 'content'")
        _text(one["role"], f"{name}[{i}].role")
        _text(one["content"], f"{name}[{i}].content")
    return tuple(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must be text, this is {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} has half a surrogate pair, which no server takes") from None
    return value


def _kind(value: Any) -> str:
    kinds = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return kinds[type(value)]
