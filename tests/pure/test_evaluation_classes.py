"""Classes: what a data set may expect of a classifier, and how its predictions are compared."""

import pytest

from airflow_provider_llmserve.evaluation.classes import findings, output_of
from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.oip.wire import Classification, Embedding, FilledMask, TokenClassification

SEQUENCE, TOKENS = "sequence_classification", "token_classification"


def row(expected):
    return Row(id="1", line=1, expected=expected, prompt="?")


@pytest.mark.parametrize(
    ("task", "expected", "labels", "says"),
    [
        (SEQUENCE, 1, None, None),
        (SEQUENCE, "1", None, None),
        (SEQUENCE, "pos", ("neg", "pos"), None),
        (SEQUENCE, "Pos", ("neg", "pos"), "Pos: none of the labels neg, pos"),
        (SEQUENCE, 1, ("neg", "pos"), "1: none of the labels"),
        (SEQUENCE, "pos", None, "pos: no class number"),
        (SEQUENCE, (1,), None, "one label, not a list"),
        (TOKENS, (0, 3, -100), None, None),
        (TOKENS, ("O", "LOC", -100), ("O", "LOC"), None),
        (TOKENS, ("O", "PER", "ORG"), ("O", "LOC"), "ORG, PER: none of the labels O, LOC"),
        (TOKENS, 0, None, "one label a token"),
        ("fill_mask", "anything", None, None),
        ("text_generation", ("a", "b"), None, None),
    ],
)
def test_what_a_row_may_expect(task, expected, labels, says):
    found = findings(row(expected), task, labels)
    assert found == [] if says is None else says in found[0]


@pytest.mark.parametrize(
    ("prediction", "expected", "labels", "output"),
    [
        (Classification(1), 1, None, 1),
        (Classification(1), "pos", ("neg", "pos"), "pos"),
        (TokenClassification((0, 1)), (0, 1), None, [0, 1]),
        (TokenClassification((0, 1)), ("O", -100), ("O", "LOC"), ["O", "LOC"]),
        (FilledMask("capital"), "capital", None, "capital"),
    ],
)
def test_a_prediction_as_metrics_compare_it(prediction, expected, labels, output):
    assert output_of(prediction, row(expected), labels) == output


@pytest.mark.parametrize(
    ("prediction", "expected", "labels", "says"),
    [
        (Classification(2), "pos", ("neg", "pos"), "class 2 has no name among 2 labels"),
        (Classification(-1), "pos", ("neg", "pos"), "class -1 has no name"),
        (TokenClassification((0, 1, 0)), (0, 1), None, "2 labels are expected, the server has 3 tokens"),
        (FilledMask(candidates=({1: 1.0},)), "capital", None, "serve without return_probabilities"),
        (Embedding((1.0,)), "capital", None, "scores in place of the text"),
    ],
)
def test_a_prediction_that_does_not_fit(prediction, expected, labels, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared below
        output_of(prediction, row(expected), labels)
    assert says in str(caught.value)
