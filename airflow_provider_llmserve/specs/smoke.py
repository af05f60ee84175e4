"""A reference answer: what a model must say to a prompt before it counts as served."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs.base import Spec
from airflow_provider_llmserve.specs.values import Text


class Smoke(Spec):
    """One prompt, and what the answer must be like.

    A server may be healthy and answer wrongly: vLLM did under bfloat16 on one machine, where float32 was right.
    """

    prompt: Text
    """Sent as it is to ``/completions``, by the base's name, at temperature 0."""
    contains: Text | None = None
    """A text that must stand in the answer, in the same case."""
    regex: Text | None = None
    """A regular expression (Python's ``re``) that must match somewhere in the answer."""

    def rules(self) -> Iterator[str]:
        """What is wrong with it."""
        if (self.contains is None) == (self.regex is None):
            yield "give either contains or regex"
        if self.regex is not None:
            try:
                re.compile(self.regex)
            except re.error as e:
                yield f"regex {self.regex!r} is none: {e}"

    def fits(self, answer: str) -> bool:
        """Whether the answer is as it must be."""
        if self.regex is not None:
            return re.search(self.regex, answer) is not None
        return (self.contains or "") in answer

    @property
    def in_words(self) -> str:
        """What is expected."""
        return f"must match {self.regex!r}" if self.regex is not None else f"must contain {self.contains!r}"


def parse_smoke(given: Any) -> tuple[Smoke, ...]:
    """The reference answers of a task. Raises :class:`BadInput` with every finding."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise BadInput("smoke", f"expected a list of {{prompt, contains or regex}}, got {type(given).__name__}")
    read, findings = [], []
    for i, one in enumerate(given):
        try:
            read.append(Smoke.parse(one, f"smoke.{i}"))
        except BadInput as e:
            findings += [f"{i}: {f}" for f in e.findings]
    if findings:
        raise BadInput("smoke", findings)
    return tuple(read)
