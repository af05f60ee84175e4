"""Scores of one answer, and the figures they add up to.

A metric is a meaning and three functions, found by its name in :data:`METRICS`; adding one is adding an entry, which plans,
summaries and ``docs/metrics.md`` read. A sample's score lies in [0, 1], more is better. **An answer that never came counts as
wrong** in every metric: missing data must not lift a mean.

Exact match and its normalisation follow SQuAD's idea (Rajpurkar 2016) without dropping articles and punctuation, which do matter
where a fine-tuned model has to keep a format. The interval is Wilson's (1927), the one to trust with few samples.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any, Protocol

from airflow_provider_llmserve.evaluation.dataset import Label, Row

CONFIDENCE = 0.95
IGNORED_LABEL = -100

Output = Label | Sequence[Label]
"""Text, a label, or one label a token."""

Sample = tuple[Row, Output | None]
"""A row and what the model said; None where no answer came."""


@dataclass(frozen=True)
class Figure:
    """A metric over a data set. ``low`` and ``high`` bound a proportion at 95 %; other figures have none."""

    mean: float
    n: int
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the summary holds it: bounds only where there are any."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Metric(Protocol):
    """What an evaluation can measure."""

    @property
    def meaning(self) -> str:
        """A sample's score in words, for ``docs/metrics.md``."""
        ...

    def finding(self, row: Row) -> str | None:
        """Why this row cannot be scored, or None. Asked of every row before the first request."""
        ...

    def score(self, row: Row, output: Output) -> float | None:
        """The score of one sample; None for a metric that only a whole data set has."""
        ...

    def figure(self, samples: Sequence[Sample]) -> Figure:
        """The metric over all samples, unanswered ones included."""
        ...


def _no_finding(row: Row) -> str | None:
    return None


@dataclass(frozen=True)
class MeanScore:
    """A metric that is the mean of its samples' scores."""

    meaning: str
    scorer: Callable[[Row, Output], float]
    check: Callable[[Row], str | None] = _no_finding

    def finding(self, row: Row) -> str | None:
        return self.check(row)

    def score(self, row: Row, output: Output) -> float:
        return self.scorer(row, output)

    def figure(self, samples: Sequence[Sample]) -> Figure:
        scores = [0.0 if output is None else self.scorer(row, output) for row, output in samples]
        if not scores:
            return Figure(0.0, 0)
        if all(score in (0.0, 1.0) for score in scores):
            return Figure(fmean(scores), len(scores), *wilson(int(sum(scores)), len(scores)))
        return Figure(fmean(scores), len(scores))


@dataclass(frozen=True)
class Accuracy:
    """The share of labels that are right: one a row, or one a token, then pooled over all rows (as seqeval's overall accuracy).

    Tokens of one text are not independent, so only the row form has an interval.
    """

    meaning: str

    def finding(self, row: Row) -> str | None:
        return None if any(True for _ in _pairs(row, None)) else "every label is -100: no token counts"

    def score(self, row: Row, output: Output) -> float:
        return fmean(want == got for want, got in _pairs(row, output))

    def figure(self, samples: Sequence[Sample]) -> Figure:
        right = [want == got for row, output in samples for want, got in _pairs(row, output)]
        if not right:
            return Figure(0.0, 0)
        if any(isinstance(row.expected, tuple) for row, _ in samples):
            return Figure(fmean(right), len(right))
        return Figure(fmean(right), len(right), *wilson(sum(right), len(right)))


@dataclass(frozen=True)
class MacroF1:
    """The plain mean of each expected class's F1, so that a rare class weighs as much as a common one.

    Classes are those that the data set expects; an answer outside of them is a miss for its row (a false negative). This is
    scikit-learn's ``f1_score(average="macro", labels=<expected classes>)``.
    """

    meaning: str

    def finding(self, row: Row) -> str | None:
        return None

    def score(self, row: Row, output: Output) -> None:
        return None

    def figure(self, samples: Sequence[Sample]) -> Figure:
        hits: Counter[str] = Counter()
        wanted: Counter[str] = Counter()
        given: Counter[str] = Counter()
        for row, output in samples:
            for want, got in _pairs(row, output):
                wanted[want] += 1
                if got is not None:
                    given[got] += 1
                hits[want] += want == got
        f1 = [2 * hits[label] / (wanted[label] + given[label]) for label in wanted]
        return Figure(fmean(f1) if f1 else 0.0, len(samples))


def normal(text: str) -> str:
    """Text as exact match compares it: NFKC, casefolded, runs of white space one space, ends stripped."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion, two-sided."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = hits / n
    scale = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    half = z / scale * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return (0.0 if hits == 0 else max(0.0, middle - half), 1.0 if hits == n else min(1.0, middle + half))


def _exact_match(row: Row, output: Output) -> float:
    said = normal(str(output))
    return float(any(said == normal(reference) for reference in row.references))


def _contains(row: Row, output: Output) -> float:
    said = normal(str(output))
    return float(any(normal(reference) in said for reference in row.references))


def _nothing_to_contain(row: Row) -> str | None:
    return None if all(map(normal, row.references)) else "an empty text is in every answer: 'contains' measures nothing"


def _regex(row: Row, output: Output) -> float:
    return float(any(re.search(pattern, str(output)) for pattern in row.references))


def _bad_pattern(row: Row) -> str | None:
    for pattern in row.references:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as e:
            return f"{pattern!r} is no regular expression: {e}"
    return None


def _pairs(row: Row, output: Output | None) -> Iterator[tuple[str, str | None]]:
    """(expected, said) of each label that counts: one for a row, or one a token."""
    if not isinstance(row.expected, tuple):
        yield normal(str(row.expected)), None if output is None else normal(str(output))
        return
    said: Sequence[Label | None] = (
        output if isinstance(output, list | tuple) else [output if isinstance(output, str | int) else None]
    )
    for i, want in enumerate(row.expected):
        if want != IGNORED_LABEL:
            got = said[i] if i < len(said) else None
            yield normal(str(want)), None if got is None else normal(str(got))


METRICS: Mapping[str, Metric] = {
    "exact_match": MeanScore(
        "1 where answer and reference are equal after NFKC, casefolding and collapsing white space; punctuation counts",
        _exact_match,
    ),
    "contains": MeanScore("1 where the reference stands in the answer, compared likewise", _contains, _nothing_to_contain),
    "regex": MeanScore(
        "1 where the pattern in `expected` is found (Python `re.search`, on the answer as it is; case counts)",
        _regex,
        _bad_pattern,
    ),
    "accuracy": Accuracy("the share of labels that are right; tokens are pooled over all rows"),
    "macro_f1": MacroF1("no score of its own: the mean of each expected class's F1 over the data set"),
}
"""Every metric by its name: what ``metrics=`` and a gate's ``metric`` may say."""


def documentation() -> str:
    """The text of ``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "What `metrics=` and a gate's `metric` may say; [evaluation.md](evaluation.md) tells how they are used.",
        "Made from `airflow_provider_llmserve/evaluation/metrics.py` by `python -m airflow_provider_llmserve.evaluation.metrics`.",
        "",
        "| name | a sample's score |",
        "|---|---|",
        *(f"| `{name}` | {metric.meaning} |" for name, metric in METRICS.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(documentation(), end="")
