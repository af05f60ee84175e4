"""Scores and figures, as tables."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.evaluation.metrics import METRICS, documentation, normal, wilson

ROOT = Path(__file__).parents[2]


def row(expected):
    return Row(id="1", line=1, expected=expected, prompt="")


SCORES = [
    ("exact_match", "Paris", " paris\n", 1),
    ("exact_match", "Paris", "Paris.", 0),
    ("exact_match", "Straße", "STRASSE", 1),
    ("exact_match", "Ａ  １", "a 1", 1),
    ("exact_match", ("Paris", "the city of light"), "The City of Light", 1),
    ("exact_match", 2, 2, 1),
    ("exact_match", "2", 2, 1),
    ("exact_match", "a", "", 0),
    ("contains", "Paris", "It is PARIS, I think", 1),
    ("contains", ("Rome", "Paris"), "paris", 1),
    ("contains", "Paris", "Par is", 0),
    ("regex", r"^\d{4}$", "2026", 1),
    ("regex", r"^\d{4}$", "in 2026", 0),
    ("regex", (r"a+", r"b+"), "bb", 1),
    ("regex", "PARIS", "paris", 0),
    ("accuracy", 1, 1, 1),
    ("accuracy", "Positive", "positive", 1),
    ("accuracy", "positive", "negative", 0),
    ("accuracy", (0, 3, 0, 1), [0, 3, 0, 0], 0.75),
    ("accuracy", (-100, 3, 0, -100), [9, 3, 1, 9], 0.5),
    ("accuracy", (1, 2), [1], 0.5),
    ("macro_f1", 1, 1, None),
]


@pytest.mark.parametrize(("metric", "expected", "output", "score"), SCORES)
def test_score(metric, expected, output, score):
    assert METRICS[metric].score(row(expected), output) == score


def test_every_metric_is_scored_above_and_stands_on_the_page():
    """Run ``make docs``."""
    assert {metric for metric, *_ in SCORES} == set(METRICS)
    assert (ROOT / "docs" / "metrics.md").read_text() == documentation()


@pytest.mark.parametrize(
    ("metric", "samples", "mean", "n"),
    [
        ("exact_match", [("a", "a"), ("b", "x"), ("c", None), ("d", "d")], 0.5, 4),
        ("accuracy", [(0, 0), (1, None), (1, 1), (1, 0)], 0.5, 4),
        # Pooled over tokens, not a mean of rows: 1 of 1 and 1 of 3.
        ("accuracy", [((1,), [1]), ((1, 1, 1), [1, 0, 0])], 0.5, 4),
        # Class 0: F1 2·2/(2+3)=0.8; class 1: 2·1/(2+1)=2/3.
        ("macro_f1", [(0, 0), (0, 0), (1, 0), (1, 1)], (0.8 + 2 / 3) / 2, 4),
        # A class nobody expects has no F1 of its own, it only takes a hit from class 0: 2·1/(2+1).
        ("macro_f1", [(0, 0), (0, 7)], 2 / 3, 2),
        # No answer: a miss for its class. Class 0: 2/3, class 1: 1.
        ("macro_f1", [(0, 0), (0, None), (1, 1)], (2 / 3 + 1) / 2, 3),
        ("macro_f1", [((0, 1, -100), [0, 1, 1])], 1.0, 1),
        ("macro_f1", [(0, 1), (1, 0)], 0.0, 2),
    ],
)
def test_figure(metric, samples, mean, n):
    figure = METRICS[metric].figure([(row(expected), output) for expected, output in samples])
    assert figure.mean == pytest.approx(mean)
    assert figure.n == n


def test_only_a_proportion_of_independent_samples_has_an_interval():
    assert "low" in METRICS["exact_match"].figure([(row("a"), "a")]).as_dict()
    assert "low" not in METRICS["macro_f1"].figure([(row("a"), "a")]).as_dict()
    assert "low" not in METRICS["accuracy"].figure([(row((1, 1)), [1, 1])]).as_dict()


@pytest.mark.parametrize(
    ("metric", "expected", "says"),
    [
        ("regex", "(", "is no regular expression"),
        ("regex", "a{99999999999}", "is no regular expression"),
        ("regex", "a+", None),
        ("contains", " ", "measures nothing"),
        ("contains", ("a", ""), "measures nothing"),
        ("contains", "a", None),
        ("accuracy", (-100, -100), "no token counts"),
        ("accuracy", 1, None),
        ("exact_match", "", None),
    ],
)
def test_a_row_that_cannot_be_scored(metric, expected, says):
    finding = METRICS[metric].finding(row(expected))
    assert (finding is None) if says is None else (says in finding)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # R 4.4: prop.test(x, n, correct = FALSE)$conf.int; Brown, Cai, DasGupta 2001 give the formula.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (90, 100, 0.8256, 0.9448), (1, 1, 0.2065, 1.0)],
)
def test_wilson(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion(case):
    hits, n = case
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low))


@given(st.text())
def test_normal_is_idempotent_enough_to_compare(text):
    assert normal(f"  {text}\n") == normal(text)
    assert METRICS["exact_match"].score(row(text), text) == 1


samples = st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3)), min_size=1)


@given(samples, st.sampled_from(["exact_match", "accuracy", "macro_f1"]))
def test_an_answer_more_never_lowers_a_figure_if_it_is_right(cases, metric):
    before = METRICS[metric].figure([(row(want), got) for want, got in cases]).mean
    after = METRICS[metric].figure([(row(want), want if got is None else got) for want, got in cases]).mean
    assert 0 <= before <= after + 1e-12 <= 1 + 1e-9
