"""The Open Inference Protocol as the real server speaks it: its v2 answers read alike what its v1 predicted."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_llmserve.oip.wire import (
    MAX_CANDIDATES,
    TASKS,
    Classification,
    Embedding,
    FilledMask,
    TokenClassification,
    as_json,
    infer_request,
    read_predictions,
    read_scores,
)

RECORDED = json.loads((Path(__file__).parent / "cases" / "oip.json").read_text())


def scores(v1):
    return {int(number): float(score) for number, score in v1.items()}


def best(found):
    return max(found, key=found.get)


def as_v1_says(task, v1, i):
    """The prediction for text ``i`` as the recorded v1 answer has it."""
    said = v1["predictions"][i]
    if task == "sequence_classification":
        return Classification(said) if isinstance(said, int) else Classification(best(scores(said)), scores(said))
    if task == "token_classification":
        offsets = None
        if "outputs" in v1:
            (tensor,) = v1["outputs"]
            width = tensor["shape"][1] * 2
            flat = tensor["data"][i * width : (i + 1) * width]
            offsets = tuple(zip(flat[::2], flat[1::2], strict=True))
        if isinstance(said[0], list):
            return TokenClassification(tuple(said[0]), None, offsets)
        return TokenClassification(tuple(best(scores(one)) for one in said), tuple(map(scores, said)), offsets)
    if task == "fill_mask":
        if isinstance(said, str):
            return FilledMask(text=said)
        masks = [{k: v for one in mask for k, v in scores(one).items()} for mask in said]
        return FilledMask(candidates=tuple(dict(sorted(m.items(), key=lambda x: -x[1])[:MAX_CANDIDATES]) for m in masks))
    return Embedding(tuple(said))


@pytest.mark.parametrize("case", RECORDED["answers"], ids=lambda c: f"{c['task']} {' '.join(c['args'])} {len(c['texts'])}")
def test_a_recorded_answer(case):
    predictions = read_predictions(case["task"], case["v2"], len(case["texts"]))
    assert predictions == [as_v1_says(case["task"], case["v1"], i) for i in range(len(case["texts"]))]
    assert json.loads(json.dumps([as_json(one) for one in predictions])) == [as_json(one) for one in predictions]


def test_every_task_was_recorded():
    assert {case["task"] for case in RECORDED["answers"]} == set(TASKS)


def test_the_request():
    assert infer_request(["a", "b"]) == {"inputs": [{"name": "input-0", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]}


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (Classification(1, {0: 0.25, 1: 0.75}), {"label": 1, "scores": {"0": 0.25, "1": 0.75}}),
        (Classification(1), {"label": 1}),
        (TokenClassification((0, 1), None, ((0, 0), (0, 2))), {"labels": [0, 1], "offsets": [[0, 0], [0, 2]]}),
        (FilledMask(candidates=({3: 1.0},)), {"candidates": [{"3": 1.0}]}),
    ],
)
def test_a_prediction_in_xcom(prediction, expected):
    assert as_json(prediction) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "0: 1",
        "{0: nan}",
        "{0: inf}",
        "{0: 1e999}",
        "{0: 1}{1: 2}",
        "{'0': 1}",
        "{0: '1}x",
        "{0: 1,1: 2}",
        "{0: 1, }",
        "{-1: 0.5}",
        "{0: __import__('os').system('true')}",
        "{0: [1]}",
        "{0: 1j}",
        "{0: 1_0}",
        "{٣: 1}",
        "{" * 100_000 + "}",
        "{0: " + "9" * 41 + "}",
        7,
        None,
    ],
    ids=lambda text: str(text)[:20],
)
def test_what_are_no_scores(text):
    with pytest.raises(ValueError, match="score"):
        read_scores(text)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.integers(0, 999_999_999), finite | st.integers(-1000, 1000), min_size=1))
def test_what_python_wrote_is_read(found):
    assert read_scores(str(found)) == found


@given(st.dictionaries(st.integers(0, 999_999), st.floats(0, 1), min_size=1))
def test_probabilities_written_as_text_are_read(found):
    assert read_scores(str({k: f"{v:.4f}" for k, v in found.items()})) == {k: float(f"{v:.4f}") for k, v in found.items()}


def answer(shape, data, datatype="INT64", name="output-0"):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    ("task", "body", "says"),
    [
        ("sequence_classification", {"predictions": [1]}, "no answer of the Open Inference Protocol"),
        ("sequence_classification", None, "no answer of the Open Inference Protocol"),
        ("sequence_classification", {"outputs": []}, "no outputs"),
        ("sequence_classification", {"outputs": [answer([2], [1, 1])]}, "1 texts were sent, the answer has shape [2]"),
        ("sequence_classification", {"outputs": [answer([], [1])]}, "the answer has shape []"),
        ("sequence_classification", {"outputs": [answer([1], [1, 2])]}, "shape [1] and 2 elements"),
        ("sequence_classification", {"outputs": [answer([1], [0.5], "FP32")]}, "whole numbers are wanted, this is FP32"),
        ("sequence_classification", {"outputs": [answer([1], [True])]}, "whole numbers are wanted"),
        ("sequence_classification", {"outputs": [answer([1], ["positive"], "BYTES")]}, "no scores: 'positive'"),
        (
            "token_classification",
            {"outputs": [answer([1, 1, 2], [0, 1]), answer([1, 3, 2], [0] * 6, name="offset_mapping")]},
            "offset_mapping has shape [1, 3, 2] for 2 tokens",
        ),
        ("fill_mask", {"outputs": [answer([1, 1], ["x"], "BYTES")]}, "cannot have shape [1, 1]"),
        ("text_embedding", {"outputs": [answer([1, 2], [0.5, float("nan")], "FP64")]}, "numbers are wanted, this is FP64"),
        ("text_embedding", {"outputs": [answer([1, 1], [None], "FP64")]}, "numbers are wanted"),
        ("text_generation", {"outputs": [answer([1], [1])]}, "no such task"),
    ],
)
def test_an_answer_that_cannot_be_read(task, body, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared below
        read_predictions(task, body, 1)
    assert says in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["{0: 1}", "x", "INT64", "BYTES"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data"]), inner),
    max_leaves=8,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["output-0", "offset_mapping"]) | json_values,
        "shape": st.lists(st.integers(0, 3), max_size=3) | json_values,
        "datatype": st.sampled_from(["INT64", "BYTES", "FP64"]) | json_values,
        "data": st.lists(st.integers(0, 3) | st.just("{0: 1}"), max_size=4) | json_values,
    }
)


@example("sequence_classification", {"outputs": [{"name": "output-0", "shape": [1, 0], "datatype": "INT64", "data": []}]}, 1)
@given(st.sampled_from(TASKS), json_values | st.fixed_dictionaries({"outputs": st.lists(tensors, max_size=2)}), st.integers(1, 3))
def test_any_answer_is_read_or_refused(task, body, count):
    with contextlib.suppress(ValueError):
        assert len(read_predictions(task, body, count)) == count
