"""Classes of a classifier: their numbers, their names, and what a data set may expect."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_llmserve.evaluation.dataset import Label, Row
from airflow_provider_llmserve.evaluation.metrics import IGNORED_LABEL, Output
from airflow_provider_llmserve.oip.wire import Classification, FilledMask, Prediction, TokenClassification

CLASSIFICATION_TASKS = ("sequence_classification", "token_classification")
SCORED_TASKS = (*CLASSIFICATION_TASKS, "fill_mask")
"""Predictions that a metric can score; of an embedding there is no right or wrong."""


def findings(row: Row, task: str | None, labels: Sequence[str] | None) -> list[str]:
    """What is wrong with a row's ``expected`` for this task: a list where one class is wanted, an unknown name."""
    if task not in CLASSIFICATION_TASKS:
        return []
    many = isinstance(row.expected, tuple)
    if many != (task == "token_classification"):
        return [f"{task} expects {'one label a token' if not many else 'one label, not a list'}"]
    expected = row.expected if isinstance(row.expected, tuple) else (row.expected,)
    unknown = sorted({str(one) for one in expected if one != IGNORED_LABEL and not _known(one, labels)})
    if not unknown:
        return []
    if labels is None:
        return [f"{', '.join(unknown)}: no class number; name the classes with labels=[…], in the order of their numbers"]
    return [f"{', '.join(unknown)}: none of the labels {', '.join(labels)}"]


def output_of(prediction: Prediction, row: Row, labels: Sequence[str] | None) -> Output:
    """A prediction as metrics compare it. Raises :class:`ValueError` where it does not fit the row or the labels."""
    if isinstance(prediction, Classification):
        return _named(prediction.label, labels)
    if isinstance(prediction, TokenClassification):
        wanted = len(row.expected) if isinstance(row.expected, tuple) else 1
        if wanted != len(prediction.labels):
            raise ValueError(
                f"{wanted} labels are expected, the server has {len(prediction.labels)} tokens; mark those that do not count "
                f"(special tokens, further pieces of a word) with {IGNORED_LABEL}"
            )
        return [_named(label, labels) for label in prediction.labels]
    if isinstance(prediction, FilledMask) and prediction.text is not None:
        return prediction.text
    raise ValueError("the server returns scores in place of the text; serve without return_probabilities")


def _known(label: Label, labels: Sequence[str] | None) -> bool:
    return label in labels if labels is not None else isinstance(label, int) or label.isdecimal()


def _named(label: int, labels: Sequence[str] | None) -> Label:
    if labels is None:
        return label
    if not 0 <= label < len(labels):
        raise ValueError(f"class {label} has no name among {len(labels)} labels")
    return labels[label]
