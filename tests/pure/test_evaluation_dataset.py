"""A data set's lines: every bad one is named by its number, before anything is asked."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.evaluation.dataset import MAX_FINDINGS, Row, parse

GOOD = {"prompt": "2+2?", "expected": "4"}


def lines(*values):
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values).encode()


def findings(data, **options):
    with pytest.raises(BadInput) as caught:
        parse(data, subject="evals.jsonl", **options)
    return caught.value.findings


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ('{"prompt": "a"', "no JSON"),
        ("[1, 2]", "a JSON object is wanted, this is a list"),
        ("null", "this is null"),
        ({"expected": "a"}, "one of 'prompt' and 'messages' is wanted, neither given (columns: 'expected')"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "a"}], "expected": "a"}, "both given"),
        ({"prompt": "a"}, "no 'expected'"),
        ({"prompt": "a", "expected": []}, "empty list"),
        ({"prompt": "a", "expected": {"text": "a"}}, "'expected' must be text, this is an object"),
        ({"prompt": "a", "expected": ["a", ["b"]]}, "'expected[1]' must be text, this is a list"),
        ({"prompt": 7, "expected": "a"}, "'prompt' must be text, this is a number"),
        ({"prompt": True, "expected": "a"}, "this is a boolean"),
        ({"messages": [], "expected": "a"}, "must be a list of messages"),
        ({"messages": ["hi"], "expected": "a"}, "messages[0] must be an object of 'role' and 'content'"),
        ({"messages": [{"role": "user"}], "expected": "a"}, "messages[0] must be"),
        ({"messages": [{"role": "user", "content": None}], "expected": "a"}, "'messages[0].content' must be text"),
        ('{"prompt": "\\ud83d", "expected": "a"}', "half a surrogate pair"),
        ("[" * 100_000, "nested too deeply"),
        ({"id": {}, "prompt": "a", "expected": "a"}, "'id' must be text"),
    ],
)
def test_a_bad_line_is_named_by_its_number(bad, says):
    (finding,) = findings(lines(GOOD, "", bad, GOOD))
    assert finding.startswith("line 3: ")
    assert says in finding


def test_every_bad_line_is_listed():
    assert [f[:6] for f in findings(lines("x", GOOD, "y", "z"))] == ["line 1", "line 3", "line 4"]


def test_a_long_list_of_bad_lines_is_cut_and_says_so():
    found = findings(lines(*["x"] * (MAX_FINDINGS + 5)))
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1] == "… and 5 more"


def test_text_that_is_not_utf8():
    (finding,) = findings(lines(GOOD) + b'\n{"prompt": "caf\xe9", "expected": "a"}')
    assert finding == "line 2: not UTF-8 (byte 16 of the line)"


@pytest.mark.parametrize("data", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_no_rows_is_no_evaluation(data):
    assert "no rows" in findings(data)[0]


def test_an_id_stands_once():
    (finding,) = findings(lines({**GOOD, "id": "a"}, GOOD, {**GOOD, "id": "a"}))
    assert finding == "line 3: id 'a' was already used in line 1"


def test_a_byte_order_mark_and_windows_line_ends():
    assert [row.id for row in parse(b"\xef\xbb\xbf" + lines(GOOD) + b"\r\n" + lines(GOOD), subject="x")] == ["1", "2"]


def test_columns_of_another_name():
    data = lines({"nr": 7, "question": "2+2?", "answers": ["4", "four"], "source": "me"})
    (row,) = parse(data, subject="x", columns={"id": "nr", "prompt": "question", "expected": "answers"})
    assert row == Row(id="7", line=1, expected=("4", "four"), prompt="2+2?")


def test_a_column_that_is_none_of_ours():
    assert "unknown name 'input'" in findings(lines(GOOD), columns={"input": "prompt"})[0]


@pytest.mark.parametrize(
    ("expected", "references"),
    [("4", ("4",)), (4, ("4",)), (4.5, ("4.5",)), (True, ("true",)), (["a", 1], ("a", "1"))],
)
def test_what_is_expected_as_text(expected, references):
    (row,) = parse(lines({"prompt": "a", "expected": expected}), subject="x")
    assert row.references == references


texts = st.text(st.characters(exclude_categories=["Cs"]))
rows = st.fixed_dictionaries(
    {"expected": texts | st.integers() | st.lists(texts, min_size=1)},
    optional={"extra": st.none() | texts},
).flatmap(
    lambda row: st.one_of(
        texts.map(lambda t: {**row, "prompt": t}),
        st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), min_size=1, max_size=3).map(
            lambda m: {**row, "messages": m}
        ),
    )
)


@given(st.lists(rows, min_size=1, max_size=5), st.booleans())
def test_what_was_written_is_read(values, ascii_only):
    data = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in values).encode()
    read = parse(data, subject="x")
    assert [row.prompt for row in read] == [value.get("prompt") for value in values]
    assert [list(row.messages) for row in read] == [value.get("messages", []) for value in values]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(BadInput):
        assert parse(data, subject="x")
