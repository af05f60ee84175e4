"""Plans and gates: what is refused before the first request, and who passes."""

import pytest

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.evaluation.plan import EvaluationPlan
from airflow_provider_llmserve.evaluation.summary import Answer, account, latency, result_lines, summarise

ENDPOINT = {
    "identity": {"platform": "local", "kind": "kubeai-text", "runtime": "local", "name": "support", "uid": "u", "specHash": "h"},
    "service": {"url": "http://127.0.0.1:1"},
    "openai": {
        "baseUrl": "http://127.0.0.1:1/v1",
        "model": "support",
        "adapterModels": {"tuned-3f9a2c1d": "support_tuned-3f9a2c1d"},
    },
}


def plan(**options):
    return EvaluationPlan.parse(endpoint=ENDPOINT, dataset="s3://evals/support.jsonl", **options)


def summary(right=0, wrong=0, failed=0, **options):
    answers = (
        [Answer("a", latency=1.0)] * right
        + [Answer("b", latency=1.0)] * wrong
        + [Answer(error="timeout", detail="late")] * failed
    )
    rows = [Row(id=str(i), line=i, expected="a", prompt="?") for i, _ in enumerate(answers)]
    return summarise(plan(**options), rows, answers, dataset_sha256="abc", results="s3://r")


@pytest.mark.parametrize(
    ("bound", "figures", "value", "passed"),
    [
        ({"min": 0.8}, (8, 2, 0), 0.8, True),
        ({"min": 0.8}, (79, 21, 0), 0.79, False),
        ({"min": 0.8}, (8, 1, 1), 0.8, True),
        ({"max": 0.2}, (2, 8, 0), 0.2, True),
        # An answer that never came might have been one of those that must not be.
        ({"max": 0.2}, (2, 7, 1), 0.3, False),
        ({"max": 1.0}, (10, 0, 1), 1.0, True),
        ({"min_gain": 0.1}, (6, 4, 0), 0.1, True),
        ({"min_gain": 0.1}, (5, 5, 0), 0.0, False),
        ({"min_gain": -0.1}, (4, 6, 0), -0.1, True),
    ],
)
def test_a_gate(bound, figures, value, passed):
    gates = [{"metric": "exact_match", **bound}]
    judged = summary(*figures, gates=gates, baseline=summary(5, 5), max_error_rate=1.0)
    assert judged["gates"][0]["value"] == pytest.approx(value)
    assert judged["gates"][0]["passed"] is passed
    assert judged["verdict"] == ("passed" if passed else "failed")


def test_each_bound_of_a_gate_must_hold():
    gates = [{"metric": "exact_match", "min": 0.7, "min_gain": 0.5}]
    judged = summary(8, 2, gates=gates, baseline=summary(5, 5))
    assert [(one["value"], one["passed"]) for one in judged["gates"][:2]] == [(0.8, True), (0.3, False)]
    assert (judged["gates"][0]["min"], judged["gates"][1]["min_gain"]) == (0.7, 0.5)
    assert judged["gates"][1]["text"] == "gain in exact_match 0.3 (missed: >= 0.5)"
    assert judged["verdict"] == "failed"


def test_a_baselines_missing_answers_count_as_right():
    gates = [{"metric": "exact_match", "min_gain": 0.0}]
    judged = summary(6, 4, gates=gates, baseline=summary(5, 3, 2, max_error_rate=1.0))
    assert judged["gates"][0]["value"] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("failed", "limit", "verdict"), [(0, 0.0, "ungated"), (1, 0.0, "failed"), (1, 0.01, "ungated"), (2, 0.01, "failed")]
)
def test_too_many_errors_fail_whatever_the_gates_say(failed, limit, verdict):
    assert summary(100 - failed, 0, failed, max_error_rate=limit)["verdict"] == verdict


def test_an_advisory_gate_is_told_and_fails_nothing():
    judged = summary(0, 10, gates=[{"metric": "exact_match", "min": 0.5, "kind": "advisory"}])
    assert judged["gates"][0]["passed"] is False
    assert judged["verdict"] == "passed"
    assert "missed: >= 0.5), advisory" in account(judged)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gates": [{"metric": "exact_match"}]}, "[0] Value error, needs min, max or min_gain"),
        ({"gates": [{"metric": "exact_match", "min": 80}]}, "[0] min: Input should be less than or equal to 1"),
        ({"gates": [{"metric": "exact_match", "mim": 0.8}]}, "[0] mim: Extra inputs are not permitted"),
        ({"gates": [{"metric": "contains", "min": 0.8}]}, "metric 'contains' is not measured; metrics are exact_match"),
        ({"gates": [{"metric": "exact_match", "min_gain": 0.1}]}, "min_gain needs baseline="),
        ({"gates": [{"metric": "exact_match", "min": "nan"}]}, "[0] min: "),
        ({"gates": ["exact_match>=0.8"]}, "[0] Input should be"),
        ({"metrics": ["bleu"]}, "unknown metric 'bleu'; there are exact_match, contains"),
        ({"baseline": {"metrics": {}}}, "has no asking, dataset, errors, n"),
        ({"adapter": "other"}, "no such adapter on support; served adapters: tuned-3f9a2c1d"),
        ({"concurrency": 0}, "concurrency: "),
        ({"max_error_rate": 1.5}, "max_error_rate: "),
        ({"api": "completion", "system_prompt": "be brief"}, "a completion has no system message"),
        ({"api": "responses"}, "api: "),
    ],
)
def test_a_plan_that_is_refused(options, says):
    with pytest.raises(BadInput) as caught:
        plan(**options)
    assert says in str(caught.value)


def test_every_bad_gate_is_named():
    with pytest.raises(BadInput) as caught:
        plan(gates=[{"metric": "exact_match"}, {"metric": "exact_match", "min": 0.5}, {"metric": "contains", "min": 1}])
    assert [finding[:3] for finding in caught.value.findings] == ["[0]", "[2]"]


def test_an_adapter_is_asked_by_its_request_name():
    assert plan(adapter="tuned").request_name == "support_tuned-3f9a2c1d"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": {"url": "s3://other", "sha256": "def"}}, "another data set (s3://other)"),
        ({"asking": {"api": "chat", "max_tokens": 8}}, "was asked otherwise"),
    ],
)
def test_a_baseline_that_is_not_comparable(change, says):
    gates = [{"metric": "exact_match", "min_gain": 0.1}]
    with pytest.raises(BadInput, match="baseline") as caught:
        plan(gates=gates, baseline={**summary(1), **change}).check_baseline("abc")
    assert says in str(caught.value)
    plan(gates=gates, baseline=summary(1)).check_baseline("abc")


def test_rows_that_the_plan_cannot_ask_or_score():
    rows = [
        Row(id="1", line=1, expected="(", prompt="?"),
        Row(id="2", line=2, expected="a", prompt="?"),
        Row(id="3", line=4, expected="a", messages=({"role": "user", "content": "?"},)),
    ]
    with pytest.raises(BadInput) as caught:
        plan(metrics=["regex"], api="completion").check_rows(rows)
    assert [finding[:6] for finding in caught.value.findings] == ["line 1", "line 4"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], {}),
        ([2.0], {"p50": 2.0}),
        ([1.0, 3.0], {"p50": 2.0}),
        ([1.0] * 19, {"p50": 1.0}),
        ([float(i) for i in range(21)], {"p50": 10.0, "p95": 19.0}),
    ],
)
def test_latency(seconds, expected):
    assert latency(seconds) == pytest.approx(expected)


def test_a_result_line_a_row_in_order_with_its_error():
    rows = [Row(id=str(i), line=i, expected="a", prompt="?") for i in range(2)]
    first, second = result_lines(
        plan(), rows, [Answer("a\ud83d", latency=0.5), Answer(error="http_500", detail="boom")]
    ).splitlines()
    assert '"scores": {"exact_match": 0.0}' in first
    assert '"error": {"class": "http_500", "detail": "boom"}' in second
    assert '"scores": {}' in second


def test_the_account_has_the_figures():
    text = account(summary(8, 1, 1, gates=[{"metric": "exact_match", "min": 0.9}]))
    assert "support on s3://evals/support.jsonl: failed, 10 samples" in text
    assert "1 without an answer: 1 timeout" in text
    assert "gate exact_match 0.8 (missed: >= 0.9)" in text
    assert "gate error_rate 0.1 (missed: <= 0.01)" in text
