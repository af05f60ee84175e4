"""Names of results: one for each DAG run, task, map index and try, and none that climbs out of its folder."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.evaluation.results_url import default_url, part, same_object

ids = st.text(max_size=30) | st.text("./=%:+ _-a", max_size=6) | st.text("aé", min_size=150, max_size=250)
tries = st.tuples(ids, ids, ids, st.integers(-1, 3), st.integers(0, 3))


def place(which: tuple[str, str, str, int, int], dataset: str = "file:///d.jsonl", configured: str = "") -> str:
    dag, run, task, mapped, number = which
    own = "file:///home/results"
    return default_url(dataset, configured=configured, own=own, dag=dag, run=run, task=task, map_index=mapped, try_number=number)


@given(tries, tries)
def test_two_tries_never_share_a_file(one: tuple[str, str, str, int, int], other: tuple[str, str, str, int, int]) -> None:
    assert (place(one) == place(other)) == (one == other)


@given(ids, ids)
def test_two_names_never_become_one(one: str, other: str) -> None:
    assert (part(one) == part(other)) == (one == other)


@given(ids)
def test_a_name_stays_one_segment_of_its_folder(text: str) -> None:
    found = part(text)
    assert found
    assert len(found.encode()) <= 200
    assert posixpath.normpath(f"/a/{found}") == f"/a/{found}"
    assert "/" not in found
    assert not set(found) & set("%?#:\\ \n")


@pytest.mark.parametrize(
    ("dataset", "configured", "expected"),
    [
        ("file:///dags/d.jsonl", "", "file:///home/results/d/r/t/1.jsonl"),
        ("/dags/d.jsonl", "", "file:///home/results/d/r/t/1.jsonl"),
        ("s3://c@b/e/d.jsonl", "", "s3://c@b/e/d.results/d/r/t/1.jsonl"),
        ("gs://b/d.jsonl", "", "gs://b/d.results/d/r/t/1.jsonl"),
        ("s3://b/d.jsonl", "s3://r/x/", "s3://r/x/d/r/t/1.jsonl"),
        ("/dags/d.jsonl", "file:///mnt", "file:///mnt/d/r/t/1.jsonl"),
    ],
)
def test_where_they_go(dataset: str, configured: str, expected: str) -> None:
    assert place(("d", "r", "t", -1, 1), dataset, configured) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("s3://b/k", "s3://b/k", True),
        ("s3://c@b/k", "s3://b/k", True),
        ("s3://b//k", "s3://b/k", True),
        ("s3://b/k", "s3://b/K", False),
        ("s3://b/k", "gs://b/k", False),
        ("s3://a/k", "s3://b/k", False),
    ],
)
def test_one_object_by_two_urls(one: str, other: str, same: bool) -> None:
    assert same_object(one, other) is same
